"""Hosts that renew their leases at once, on a PostgreSQL that isn't near."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fixtures.far_socket import far_socket
from provisioner.compute.lease import LeaseKeeper
from provisioner.protocols.store import Store, Tx
from provisioner.store import open_store
from provisioner.store.postgres import SESSION
from tests.contract.store.conftest import IDLE, PostgresDatabases
from tests.unit.fakes import JumpingClock

pytestmark = pytest.mark.wire

T = TypeVar("T")

HOSTS, ROUNDS = 8, 4
THERE_AND_BACK_S = 0.02
LEASE_S, COMMAND_S = 60.0, 40.0
"""The lease that is left after half of it doesn't cover the command."""


class Played:
    """A store that counts how often functions of transactions are run."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = self.runs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def transact_first(self, work: Callable[[Tx], T]) -> T:
        def run(tx: Tx) -> T:
            self.runs += 1
            return work(tx)

        self.asked += 1
        return await self._store.transact_first(run)


async def renews(played: Played, name: str, together: asyncio.Barrier) -> None:
    clock = JumpingClock()
    store: Any = played
    lease = LeaseKeeper(store, clock, name, LEASE_S, holder=name, longest_command_s=COMMAND_S)
    await lease.acquire()
    played.asked = played.runs = 0
    for _ in range(ROUNDS):
        await together.wait()
        clock.now_s += LEASE_S / 2
        await lease.cover(COMMAND_S, changes=False)
    assert len(lease.others.takers(clock.monotonic_s())) == HOSTS - 1


def test_hosts_that_renew_at_once_hold_nobody_up(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would, if each read the others' rows in the transaction that writes its own: the database lets one
    through and has the others run again, and where it is far their turn doesn't come before their end."""
    monkeypatch.setitem(SESSION, IDLE, "60s")  # what the server gives up is run again, too

    async def story(url: str) -> list[Played]:
        opened = [await asyncio.to_thread(open_store, url) for _ in range(HOSTS)]
        try:
            played, together = [Played(store) for store in opened], asyncio.Barrier(HOSTS)
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                for number, one in enumerate(played):
                    group.create_task(renews(one, f"ch{number}", together))
            return played
        finally:
            for store in opened:
                await store.close()

    with tempfile.TemporaryDirectory(prefix="far") as folder:
        url, far = postgres.url(), postgres.server.socket
        near = Path(folder) / far.name
        with far_socket(near, far, THERE_AND_BACK_S):
            played = asyncio.run(story(url.replace(str(far.parent), folder)))
    assert [(one.asked, one.runs) for one in played] == [(2 * ROUNDS,) * 2] * HOSTS
