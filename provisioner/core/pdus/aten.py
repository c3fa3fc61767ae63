"""ATEN PE series."""

from provisioner.core.pdus.family import Command, Family


def _arc(outlet: int) -> int:
    # outlet1Status is .2 … outlet8Status .9; .10 is a table of other things, and outlet9Status .11.
    return outlet + 1 if outlet <= 8 else outlet + 2


FAMILY = Family(
    name="aten",
    outlets=42,
    known_by=("21317",),
    state="21317.1.3.2.2.2.2.{outlet}.0",
    on=Command("21317.1.3.2.2.2.2.{outlet}.0", 2),
    off=Command("21317.1.3.2.2.2.2.{outlet}.0", 1),
    when_on=frozenset({2}),
    when_off=frozenset({1}),
    pending=frozenset({3, 4}),
    missing=frozenset({7}),  # of 42 outlets that the MIB has, a PDU has 8 or so
    arc=_arc,
    source="ATEN-PE-CFG, outlet1Status and following",
)
