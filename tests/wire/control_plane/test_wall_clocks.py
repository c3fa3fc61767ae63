"""The wall clock that all hosts share is the database's. It may jump: nobody's lease depends on it."""

from __future__ import annotations

import pytest

from fixtures.postgres_server import PostgresServer
from tests.wire.cli.conftest import eventually
from tests.wire.control_plane.conftest import ControlPlane

pytestmark = pytest.mark.wire

LEASE_S = 15
"""Of which a renewal may be late by two thirds before a host that lives is taken for dead."""

BEATS = 3
"""In them more time goes by than a lease has: whoever was taken for dead would have lost its nodes."""


class JumpingClock:
    """A database's clock, for all who connect to it after this was made."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server = server
        self._database = database
        self._do("CREATE TABLE clock AS SELECT 0 AS ahead_s")
        self._do(
            "CREATE FUNCTION public.transaction_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS"
            " 'SELECT pg_catalog.transaction_timestamp() + make_interval(secs => ahead_s) FROM public.clock'"
        )
        self._do(f"ALTER DATABASE {database} SET search_path = public, pg_catalog")

    def _do(self, statement: str) -> list[tuple[object, ...]]:
        return self._server.execute(statement, self._database)

    def jump(self, ahead_s: int) -> None:
        self._do(f"UPDATE public.clock SET ahead_s = {ahead_s}")

    def beats(self) -> dict[str, tuple[int, bool]]:
        """Of each host, and whether it was renewed at another time than it is."""
        rows = self._do(
            "SELECT id, beat, abs(extract(epoch FROM renewed_at::timestamptz"
            " - pg_catalog.transaction_timestamp())) > 3600 FROM host"
        )
        return {str(id): (int(str(beat)), bool(jumped)) for id, beat, jumped in rows}

    def lives(self) -> list[tuple[object, ...]]:
        """What changes when a host is taken for dead, or starts anew."""
        hosts = self._do("SELECT id, epoch FROM host ORDER BY id")
        return hosts + self._do("SELECT id, owner, fence FROM node ORDER BY id")


def test_a_database_whose_clock_jumps_changes_no_owner(plane: ControlPlane, server: PostgresServer) -> None:
    clock = JumpingClock(server, plane.database.partition("?")[0].rpartition("/")[2])
    plane.start()
    for name in ("a", "b"):
        plane.host(name, lease_ttl_s=LEASE_S).start()
    eventually("both have a lease", lambda: {"a", "b"} <= set(plane.hosts()))
    plane.enrol(*(f"n{number}" for number in range(4)))
    eventually("both own two nodes", lambda: all(host["nodes"] == 2 for host in plane.hosts().values()))
    before = clock.lives()
    for ahead_s in (86_400, -86_400):
        clock.jump(ahead_s)
        begun = clock.beats()

        def has_gone_by(begun: dict[str, tuple[int, bool]] = begun) -> bool:
            return all(
                jumped and beat >= begun[host][0] + BEATS for host, (beat, jumped) in clock.beats().items()
            )

        eventually("more than a lease has gone by", has_gone_by)
        assert clock.lives() == before
