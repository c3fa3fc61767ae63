"""CyberPower Switched ePDU."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="cyberpower",
    outlets=48,
    known_by=("3808.1.1.3",),  # 3808.1.1.1, and 3808 alone, are UPSs
    # ePDUOutletControlOutletCommand; what is read is the state
    state="3808.1.1.3.3.3.1.1.4.{outlet}",
    on=Command("3808.1.1.3.3.3.1.1.4.{outlet}", 1),
    off=Command("3808.1.1.3.3.3.1.1.4.{outlet}", 2),
    when_on=frozenset({1}),
    when_off=frozenset({2}),
    source="CPS-MIB, ePDUOutletControlOutletCommand",
)
