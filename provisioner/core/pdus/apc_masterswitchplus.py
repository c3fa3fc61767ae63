"""APC MasterSwitch Plus (AP9225)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="apc_masterswitchplus",
    outlets=32,
    known_by=("318.1.3.4.4", "318.1.1.6"),
    # sPDUOutletControlMSPOutletCommand: 2 is a power-on in sequence, not off
    state="318.1.1.6.5.1.1.5.{outlet}",
    on=Command("318.1.1.6.5.1.1.5.{outlet}", 1),
    off=Command("318.1.1.6.5.1.1.5.{outlet}", 3),
    when_on=frozenset({1}),
    when_off=frozenset({3}),
    source="PowerNet-MIB, sPDUOutletControlMSPOutletCommand",
)
