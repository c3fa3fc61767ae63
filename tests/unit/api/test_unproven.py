from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from provisioner.api.audit import REFUSED, Entry
from provisioner.api.failures import Failures
from provisioner.api.limits import LimitPolicy, Limits
from provisioner.api.unproven import KINDS, OUTCOME, Attempt, Unproven
from provisioner.api.window import Window
from provisioner.core.errors import TransientError
from provisioner.core.model import AuditRecord
from provisioner.core.roles import NOBODY
from tests.unit.api.conftest import Api

WRONG = {"Authorization": "Bearer a-secret-of-somewhere-else"}


@pytest.fixture
def unproven(api: Api) -> Unproven:
    found: Unproven = api.app.state.unproven
    return found


def told(api: Api) -> list[dict[str, Any]]:
    """Oldest first."""
    items: list[dict[str, Any]] = api.get("/v1/audit", outcome=OUTCOME)["items"]
    return items[::-1]


@pytest.mark.parametrize("headers", [WRONG, {"Authorization": ""}, {"Authorization": "Basic eDp5"}])
def test_a_request_without_a_token_of_ours_is_recorded(api: Api, headers: dict[str, str]) -> None:
    assert api.call("DELETE", "/v1/nodes/n1", headers=headers).status_code == 401
    (record,) = told(api)
    assert (record["operation"], record["target"]) == ("authenticate", "DELETE /v1/nodes/n1")
    assert (record["address"], record["tenant"], record["credential"]) == ("127.0.0.1", "", "")
    assert "secret" not in str(record), "what isn't ours may be a secret of others"


def test_however_many_come_of_one_kind_two_records_tell_of_them(api: Api, unproven: Unproven) -> None:
    assert told(api) == []  # from now on, this token is known
    api.context.limits = Limits(LimitPolicy(failures_per_minute=5))
    answers = {api.call("GET", f"/v1/nodes/{n}", headers=WRONG).status_code for n in range(30)}
    assert answers == {401, 429}
    assert len(told(api)) == 1
    api.run(unproven.close_window())
    api.run(unproven.close_window())
    assert [one["target"] for one in told(api)] == ["GET /v1/nodes/0", "29 more within 60 s"]


def test_a_flood_from_everywhere_fills_nothing_up(api: Api, unproven: Unproven) -> None:
    for number in range(1000):
        attempt = Attempt(operation="authenticate", address=f"10.0.{number // 250}.{number % 250}")
        api.run(unproven.tell(attempt, "GET /v1/nodes"))
        api.run(unproven.tell(attempt, "GET /v1/nodes"))
    api.run(unproven.close_window())
    found = told(api)
    assert len(found) == 2 * KINDS + 1
    (rest,) = [one for one in found if not one["address"]]
    assert rest["target"] == f"{2 * (1000 - KINDS)} more within 60 s, of other kinds"


def test_a_path_of_any_length_is_cut(api: Api) -> None:
    api.call("GET", "/v1/" + "x" * 5000, headers=WRONG)
    assert len(told(api)[0]["target"]) == 200


def test_the_window_ends_by_itself(api: Api) -> None:
    """Though nobody comes any more."""
    clock = Watch()
    unproven = Unproven(api.store, clock, api.context.ids)

    async def story() -> None:
        running = asyncio.create_task(unproven.run())
        for _ in range(3):
            await unproven.tell(Attempt(operation="authenticate", address="10.0.0.9"), "GET /v1/nodes")
        clock.over.set()
        while await api.store.transact(lambda tx: tx.count(AuditRecord, where={"outcome": OUTCOME})) < 2:
            await asyncio.sleep(0)
        running.cancel()

    api.run(story())
    assert [one["target"] for one in told(api)] == ["GET /v1/nodes", "2 more within 60 s"]
    assert clock.slept == [60.0]


@pytest.mark.parametrize("error", [TransientError("reach the database"), sqlite3.InterfaceError("odd")])
def test_a_store_that_fails_changes_no_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever it raises."""

    async def fails(work: Any) -> Any:
        raise error

    unproven = Unproven(api.store, api.context.clock, api.context.ids)
    failures = Failures(api.store, api.context.clock, api.context.ids)
    entry = Entry(who=NOBODY, operation="DELETE /v1/nodes/{node}", target="n", address="", request_id="r")
    monkeypatch.setattr(api.store, "transact", fails)
    api.run(unproven.tell(Attempt(operation="authenticate", address="10.0.0.9"), "GET /v1/nodes"))
    api.run(failures.tell(entry, REFUSED))


def test_a_window_whose_end_fails_is_followed_by_others(api: Api) -> None:
    clock, ends = Watch(), []
    window = Window(clock)

    async def close() -> None:
        ends.append(len(ends))
        window.closed()
        if len(ends) == 1:
            raise sqlite3.InterfaceError("odd")

    async def story() -> None:
        running = asyncio.create_task(window.run(close))
        for windows in (1, 2):
            window.open()
            clock.over.set()
            async with asyncio.timeout(10):
                while len(ends) < windows:
                    await asyncio.sleep(0)
        running.cancel()

    api.run(story())


class Watch:
    """A clock whose sleeps end when the test says so, and no second one does."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.slept: list[float] = []

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.over.wait()
        self.over.clear()
