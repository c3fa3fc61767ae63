"""Teltronix PDUs."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="teltronix",
    outlets=24,
    known_by=("23620",),
    state="23620.1.2.2.1.4.{outlet}",
    on=Command("23620.1.2.2.1.4.{outlet}", 2),
    off=Command("23620.1.2.2.1.4.{outlet}", 1),
    when_on=frozenset({2}),
    when_off=frozenset({1}),
    source="Ironic's documentation of its driver; the vendor's MIB was not found",
)
