"""Raritan PX2, PX3, PXC."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="raritan_pdu2",
    outlets=54,
    known_by=("13742.6",),
    # outletSwitchingState tells in the words of all of its sensors: on is 7, off 8
    state="13742.6.4.1.2.1.3.{unit}.{outlet}",
    on=Command("13742.6.4.1.2.1.2.{unit}.{outlet}", 1),
    off=Command("13742.6.4.1.2.1.2.{unit}.{outlet}", 0),
    when_on=frozenset({7}),
    when_off=frozenset({8}),
    unit="1",
    source="PDU2-MIB, outletSwitchControlTable, SensorStateEnumeration",
)
