"""Server Technology Sentry 4 (PRO1, PRO2)."""

from provisioner.core.pdus.family import Command, Family

FAMILY = Family(
    name="servertech_sentry4",
    outlets=96,
    known_by=("1718.4",),
    # st4OutletControlState and st4OutletControlAction, by unit, input cord and outlet. The state tells why as
    # well: up to 7 even numbers are off, odd ones on; then come pending ones, off, on, reboot, shutdown,
    # locked off and on, and the same by an event.
    state="1718.4.1.8.5.1.1.{unit}.{outlet}",
    on=Command("1718.4.1.8.5.1.2.{unit}.{outlet}", 1),
    off=Command("1718.4.1.8.5.1.2.{unit}.{outlet}", 2),
    when_on=frozenset({1, 3, 5, 7, 11, 15, 17}),
    when_off=frozenset({2, 4, 6, 10, 14, 16}),
    pending=frozenset({8, 9, 12, 13, 18, 19}),
    unit="1.1",
    source="Sentry4-MIB, st4OutletControlTable",
)
