"""APC Switched Rack PDU (AP7900 and later, AP8900)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="apc_rackpdu",
    outlets=48,
    known_by=("318.1.3.4.5", "318.1.3.4.6", "318.1.1.12"),
    # rPDUOutletControlOutletCommand; what is read is the state
    state="318.1.1.12.3.3.1.1.4.{outlet}",
    on=Command("318.1.1.12.3.3.1.1.4.{outlet}", 1),
    off=Command("318.1.1.12.3.3.1.1.4.{outlet}", 2),
    when_on=frozenset({1}),
    when_off=frozenset({2}),
    source="PowerNet-MIB, rPDUOutletControlOutletCommand",
)
