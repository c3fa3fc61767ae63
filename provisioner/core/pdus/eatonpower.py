"""Eaton ePDU G2 and G3."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="eatonpower",
    outlets=48,
    known_by=("534.6.6.7",),
    # outletControlStatus; what is written to commands are seconds to wait. OffCmd is .3 and OnCmd .4: Ironic
    # has them the other way round. The unit that is asked directly is 0; those chained to it follow.
    state="534.6.6.7.6.6.1.2.{unit}.{outlet}",
    on=Command("534.6.6.7.6.6.1.4.{unit}.{outlet}", 0),
    off=Command("534.6.6.7.6.6.1.3.{unit}.{outlet}", 0),
    when_on=frozenset({1}),
    when_off=frozenset({0}),
    pending=frozenset({2, 3}),
    unit="0",
    source="EATON-EPDU-MIB, outletControlTable",
)
