"""APC MasterSwitch (AP9606, AP9211, AP7900 by its older tables)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="apc_masterswitch",
    outlets=24,
    known_by=("318.1.3.4", "318.1.1.4"),
    # sPDUOutletCtl
    state="318.1.1.4.4.2.1.3.{outlet}",
    on=Command("318.1.1.4.4.2.1.3.{outlet}", 1),
    off=Command("318.1.1.4.4.2.1.3.{outlet}", 2),
    when_on=frozenset({1}),
    when_off=frozenset({2}),
    source="PowerNet-MIB, sPDUOutletCtl",
)
