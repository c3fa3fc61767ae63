"""Vertiv Geist (rPDU, IMD firmware version 5)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="vertivgeist_pdu",
    outlets=100,
    known_by=("21239.5", "21239.42.1.53"),  # 42.1.53: units with an IMD3
    # pduOutletSwitchState and pduOutletSwitchControl: 3 and 5 would switch after a delay
    state="21239.5.2.3.5.1.4.{outlet}",
    on=Command("21239.5.2.3.5.1.6.{outlet}", 2),
    off=Command("21239.5.2.3.5.1.6.{outlet}", 4),
    when_on=frozenset({1}),
    when_off=frozenset({2}),
    pending=frozenset({3, 4, 5, 6}),
    source="VERTIV-V5-MIB, pduOutletSwitchTable",
)
