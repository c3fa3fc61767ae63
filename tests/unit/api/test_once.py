from __future__ import annotations

import asyncio

import pytest

from provisioner.api.housekeeping import ANSWER_KEPT_S, BATCH, forget_old_answers
from provisioner.core.model import IdempotencyRecord
from tests.unit.api.conftest import Api, node_entry
from tests.unit.records import NOW

KEY = {"Idempotency-Key": "order-1"}


def test_an_order_that_is_repeated_is_carried_out_once_and_answered_alike(api: Api) -> None:
    first = api.post("/v1/nodes", node_entry(), 201, **KEY)
    assert api.post("/v1/nodes", node_entry(), 201, **KEY) == first
    assert len(api.get("/v1/nodes")["items"]) == 1


def test_of_orders_sent_at_once_with_one_key_one_is_carried_out(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)

    async def story() -> set[str]:
        calls = (
            api.request("POST", "/v1/nodes/n1/power", json={"verb": "on"}, headers=KEY) for _ in range(8)
        )
        return {answer.json()["id"] for answer in await asyncio.gather(*calls)}

    assert len(api.run(story())) == 1


def test_a_key_is_not_used_for_another_order(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201, **KEY)
    assert "order-1" in api.post("/v1/nodes", node_entry("n2", 2), 409, **KEY)["title"]
    api.post("/v1/flavors", {"name": "small"}, 201, **KEY)  # another path: another key


def test_an_order_that_was_refused_may_be_mended_under_its_key(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    api.post("/v1/nodes", node_entry(), 409, **KEY)
    api.post("/v1/nodes", node_entry("n2", 2), 201, **KEY)


def test_one_clients_key_is_not_anothers(api: Api) -> None:
    token = api.post("/v1/tokens", {"name": "ci"}, 201)["token"]
    api.post("/v1/nodes", node_entry(), 201, **KEY)
    api.post("/v1/nodes", node_entry("n2", 2), 201, **KEY, Authorization=f"Bearer {token}")


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_without_sense_is_refused(api: Api, key: str) -> None:
    api.post("/v1/nodes", node_entry(), 422, **{"Idempotency-Key": key})


def test_no_secret_is_kept_with_an_answer(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201, **KEY)
    (record,) = api.transact(lambda tx: tx.find(IdempotencyRecord))
    assert "sesame" not in repr(record)


def test_answers_are_forgotten_after_a_day_and_not_before(api: Api) -> None:
    def fill(tx):  # type: ignore[no-untyped-def]
        for number in range(BATCH + 1):
            tx.insert(
                IdempotencyRecord(id=f"{number:05}", request_sha256="", status=201, body="{}", created_at=NOW)
            )

    api.transact(fill)
    api.advanced_s = ANSWER_KEPT_S
    api.post("/v1/nodes", node_entry(), 201, **KEY)
    api.run(forget_old_answers(api.context))
    assert api.transact(lambda tx: tx.count(IdempotencyRecord)) == BATCH + 2
    api.advanced_s += 1
    api.run(forget_old_answers(api.context))
    assert api.transact(lambda tx: tx.count(IdempotencyRecord)) == 1
