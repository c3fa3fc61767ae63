"""Server Technology Sentry 3 (CDU, Smart CDU)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="servertech_sentry3",
    outlets=48,
    known_by=("1718.3",),
    # outletStatus and outletControlAction, by tower, infeed and outlet. 4 and 5 are faults of the relay, 8
    # and 9 those of a fuse: an outlet that is on behind it gives no power, so that 9 is neither.
    state="1718.3.2.3.1.5.{unit}.{outlet}",
    on=Command("1718.3.2.3.1.11.{unit}.{outlet}", 1),
    off=Command("1718.3.2.3.1.11.{unit}.{outlet}", 2),
    when_on=frozenset({1}),
    when_off=frozenset({0, 8}),
    pending=frozenset({2, 3, 7}),
    unit="1.1",
    source="Sentry3-MIB, outletStatus, outletControlAction",
)
