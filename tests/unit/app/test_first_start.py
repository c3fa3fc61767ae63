from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from provisioner.api.credentials import hash_token
from provisioner.app.api_side import first_start
from provisioner.config.settings import Settings
from provisioner.core.model import ApiToken, Flavor, User
from provisioner.protocols.store import Store, Tx
from provisioner.services.system import RandomIds
from provisioner.store import open_store

T = TypeVar("T")

NETWORK = {"interface": "lo", "address": "10.0.0.1", "subnet": "10.0.0.0/24", "pool": "10.0.0.2-10.0.0.9"}


class Abreast:
    """A process's store whose first answer is given only when all processes have theirs."""

    def __init__(self, store: Store, barrier: asyncio.Barrier) -> None:
        self._store = store
        self._barrier: asyncio.Barrier | None = barrier

    async def transact(self, work: Callable[[Tx], T]) -> T:
        answer = await self._store.transact(work)
        if (barrier := self._barrier) is not None:
            self._barrier = None
            await barrier.wait()
        return answer


def settings_of(folder: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    return Settings.model_validate({"state_dir": str(folder), "network": NETWORK})


def check_two_first_starts(url: str, folder: Path) -> None:
    """Of processes with a store and a state folder each. The database of `url` is empty."""
    places = [settings_of(folder / name) for name in ("one", "other")]

    async def start(*, abreast: bool) -> tuple[list[ApiToken], int, int]:
        stores = [open_store(url) for _ in places]
        try:
            barrier = asyncio.Barrier(len(stores))
            used = [Abreast(store, barrier) for store in stores] if abreast else stores
            async with asyncio.TaskGroup() as group:
                for settings, store in zip(places, used, strict=True):
                    group.create_task(first_start(settings, store, RandomIds()))  # type: ignore[arg-type]
            return await stores[0].transact(lambda tx: (tx.find(ApiToken), tx.count(User), tx.count(Flavor)))
        finally:
            for store in stores:
                await store.close()

    for abreast in (True, False):
        (token,), users, flavors = asyncio.run(start(abreast=abreast))
        assert (users, flavors) == (1, 1)
        files = [settings.token_file for settings in places if settings.token_file.exists()]
        assert [hash_token(file.read_text().strip()) for file in files] == [token.id]


def test_of_two_first_starts_at_once_one_leaves_a_token(tmp_path: Path) -> None:
    check_two_first_starts(f"sqlite:///{tmp_path / 'one.db'}", tmp_path)


def test_a_token_that_was_put_there_meanwhile_stays(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)

    class Overtaken(Abreast):
        async def transact(self, work: Callable[[Tx], T]) -> T:
            if settings.token_file.exists():
                await first_start(settings, self._store, RandomIds())
            return await super().transact(work)

    async def story() -> list[ApiToken]:
        store = open_store("memory:")
        try:
            await first_start(settings, Overtaken(store, asyncio.Barrier(1)), RandomIds())  # type: ignore[arg-type]
            return await store.transact(lambda tx: tx.find(ApiToken))
        finally:
            await store.close()

    (token,) = asyncio.run(story())
    assert hash_token(settings.token_file.read_text().strip()) == token.id
