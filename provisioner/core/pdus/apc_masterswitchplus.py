"""APC MasterSwitch Plus (AP9225), and those that it is extended by (AP9225EXP)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="apc_masterswitchplus",
    outlets=8,
    known_by=("318.1.3.4.4", "318.1.1.6"),
    # sPDUOutletStatusMSPOutletState and sPDUOutletControlMSPOutletCommand, by switch, 1 and outlet. Of the
    # commands, 2 is a power-on after the outlet's own delay.
    state="318.1.1.6.7.1.1.5.{unit}.{outlet}",
    on=Command("318.1.1.6.5.1.1.5.{unit}.{outlet}", 1),
    off=Command("318.1.1.6.5.1.1.5.{unit}.{outlet}", 3),
    when_on=frozenset({1}),
    when_off=frozenset({2}),
    unit="1.1",
    source="PowerNet-MIB, sPDUOutletStatusMSPTable and sPDUOutletControlMSPTable",
)
