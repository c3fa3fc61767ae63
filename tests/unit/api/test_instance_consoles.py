"""What an instance's console says: to whom, and until when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from provisioner.api.consoles import ASK_AGAIN_S
from provisioner.core.errors import TransientError
from provisioner.core.model import Instance
from provisioner.core.states import InstanceState
from tests.unit.api.conftest import Api
from tests.unit.api.counting_store import CountingStore
from tests.unit.api.instance_calls import place

pytestmark = pytest.mark.usefixtures("images_registered")


def test_the_console_is_the_instances_while_it_has_the_machine(api: Api) -> None:
    node_id = place(api)
    api.run(api.say(node_id, "Debian GNU/Linux\nlogin: "))
    assert api.call("GET", "/v1/instances/web/console").text.endswith("login: ")
    assert api.call("GET", "/v1/nodes/n1/console?tail_bytes=7").text == "login: "
    found = api.get("/v1/instances/web")
    api.transact(lambda tx: tx.update(Instance, found["id"], {"state": InstanceState.DELETED}))
    assert api.call("GET", f"/v1/instances/{found['id']}/console").text == ""


class ScriptedClock:
    """`protocols.clock.Clock` in which each sleep lasts until the next act has happened."""

    now_s = 0.0

    def __init__(self, *acts: Callable[[], Awaitable[object]]) -> None:
        self._acts = list(acts)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        await self._acts.pop(0)()


@pytest.mark.parametrize("announced", [True, False])
def test_a_console_that_is_followed_tells_what_is_new_and_ends_with_its_instance(
    api: Api, announced: bool
) -> None:
    node_id = place(api)
    instance_id = api.get("/v1/instances/web")["id"]
    api.run(api.say(node_id, "long ago, before"))

    async def say() -> None:
        await api.say(node_id, ", after")

    async def delete() -> None:
        deleted = {"state": InstanceState.DELETED}
        topics = [f"instance:{instance_id}"] * announced
        await api.store.transact(lambda tx: (tx.update(Instance, instance_id, deleted), tx.notify(*topics)))
        if not announced:
            clock.now_s += ASK_AGAIN_S

    clock = api.context.clock = ScriptedClock(say, say, delete)
    answer = api.call("GET", "/v1/instances/web/console?follow=true&tail_bytes=6")
    assert answer.text == "before, after, after"


def test_who_follows_a_console_asks_the_store_for_nothing_while_nothing_happens(api: Api) -> None:
    place(api)
    counted = api.context.store = CountingStore(api.store)
    asked: list[int] = []

    async def look() -> None:
        asked.append(len(counted.rows))

    async def delete() -> None:
        deleted = {"state": InstanceState.DELETED}
        (found,) = await api.store.transact(lambda tx: tx.find(Instance))
        await api.store.transact(
            lambda tx: (tx.update(Instance, found.id, deleted), tx.notify(f"instance:{found.id}"))
        )

    api.context.clock = ScriptedClock(*[look] * 20, delete)
    assert api.call("GET", "/v1/instances/web/console?follow=true").is_success
    assert len(asked) == 20 and len(set(asked)) == 1


@pytest.mark.parametrize("path", ["instances/web", "nodes/n1"])
@pytest.mark.parametrize("change", ["DELETE /v1/tokens/ci", "PUT /v1/users/ann"])
def test_a_console_that_is_followed_ends_with_the_right_to_it(api: Api, path: str, change: str) -> None:
    node_id = place(api)
    api.run(api.say(node_id, "before"))
    api.post("/v1/users", {"name": "ann", "role": "operator"}, 201)
    token = api.post("/v1/tokens", {"name": "ci", "user": "ann"}, 201)["token"]

    async def revoke() -> None:
        method, where = change.split()
        body = {"role": "reader"} if method == "PUT" else None
        assert (await api.request(method, where, json=body)).is_success
        await api.say(node_id, ", after")

    api.context.clock = ScriptedClock(revoke)
    headers = {"Authorization": f"Bearer {token}"}
    answer = api.call("GET", f"/v1/{path}/console?follow=true", headers=headers)
    assert answer.text == "before"


@pytest.mark.parametrize("path", ["instances/web", "nodes/n1"])
def test_a_console_is_followed_beyond_a_while_without_the_database(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_id = place(api)
    api.run(api.say(node_id, "before"))
    token = api.post("/v1/tokens", {"name": "ci", "role": "operator"}, 201)["token"]

    async def gone(work: object) -> None:
        raise TransientError("use the database", answer="it doesn't answer")

    async def lose() -> None:
        api.context.forget_credentials()
        await api.say(node_id, ", meanwhile")
        monkeypatch.setattr(api.store, "transact", gone)

    async def find() -> None:
        monkeypatch.undo()

    async def look() -> None:
        pass

    async def revoke() -> None:
        assert (await api.request("DELETE", "/v1/tokens/ci")).is_success

    api.context.clock = ScriptedClock(lose, find, look, revoke)
    headers = {"Authorization": f"Bearer {token}"}
    answer = api.call("GET", f"/v1/{path}/console?follow=true", headers=headers)
    assert answer.text == "before, meanwhile"
