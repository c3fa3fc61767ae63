"""BayTech MRP-27."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="baytech_mrp27",
    outlets=24,
    known_by=("4779",),
    # sBTAModulesRPCOutletState; 3 and 4 are on and off too, and locked
    state="4779.1.3.5.3.1.3.{unit}.{outlet}",
    on=Command("4779.1.3.5.3.1.3.{unit}.{outlet}", 1),
    off=Command("4779.1.3.5.3.1.3.{unit}.{outlet}", 0),
    when_on=frozenset({1, 3}),
    when_off=frozenset({0, 4}),
    pending=frozenset({2}),
    unit="1",
    source="Baytech-MIB-403-1, sBTAModulesRPCOutletState",
)
