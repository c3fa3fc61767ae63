from __future__ import annotations

from typing import Any

import pytest

from provisioner.api.audit import BATCH, MAX_TARGET, AuditPolicy, forget_old_records
from provisioner.api.failures import EACH, KINDS, Failures
from provisioner.core.errors import TransientError
from provisioner.core.model import AuditRecord
from tests.unit.api.conftest import Api, node_entry
from tests.unit.records import NOW


@pytest.fixture
def failures(api: Api) -> Failures:
    found: Failures = api.app.state.failures
    return found


def told(api: Api, **wanted: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/v1/audit", **wanted)["items"]
    return items


def test_each_change_is_recorded_with_who_made_it(api: Api) -> None:
    ann = api.user_of("blue", "operator")
    answer = ann.call("POST", "/v1/flavors", {"name": "small"})
    (record,) = told(api, user=ann.name)
    token = next(t for t in api.get("/v1/tokens")["items"] if t["user"] == ann.name)
    assert record == {
        "id": record["id"],
        "at": NOW.isoformat().replace("+00:00", "Z"),
        "tenant": "blue",
        "user": "blue-operator",
        "credential": token["id"],
        "address": "127.0.0.1",
        "operation": "POST /v1/flavors",
        "target": f"/v1/flavors/{answer.json()['id']}",
        "outcome": "done",
        "request_id": answer.headers["x-request-id"],
    }
    ann.call("GET", "/v1/flavors")
    assert len(told(api, user=ann.name)) == 1


def test_what_was_refused_and_what_failed_is_recorded_too(api: Api) -> None:
    ann = api.user_of("blue", "reader")
    ann.call("GET", "/v1/nodes")
    ann.call("DELETE", "/v1/keys/me")
    bob = api.user_of("blue", "member")
    bob.call("DELETE", "/v1/keys/me")
    bob.call("POST", "/v1/keys", {"name": "me"})
    found = [(one["operation"], one["outcome"]) for one in told(api, tenant="blue")]
    assert found == [
        ("POST /v1/keys", "failed:422"),
        ("DELETE /v1/keys/{key}", "failed:404"),
        ("DELETE /v1/keys/{key}", "refused"),
        ("GET /v1/nodes", "refused"),
    ]
    assert [one["operation"] for one in told(api, tenant="blue", outcome="refused")] == [
        "DELETE /v1/keys/{key}",
        "GET /v1/nodes",
    ]


def test_a_repeated_order_is_recorded_each_time(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    made = api.post("/v1/nodes", node_entry(), 201, **key)
    api.post("/v1/nodes", node_entry(), 201, **key)
    repeated, first = told(api)
    assert (first["target"], first["outcome"]) == (f"/v1/nodes/{made['id']}", "done")
    assert repeated["outcome"] == "done"


def test_no_secret_is_recorded(api: Api) -> None:
    made = api.post("/v1/tokens", {"name": "ci"}, 201)
    key = api.post("/v1/access-keys", {}, 201)
    api.post("/v1/nodes", node_entry(), 201)
    text = api.call("GET", "/v1/audit").text
    for secret in (made["token"], key["secret"], "open-sesame"):
        assert secret not in text
    assert made["id"] in text
    assert key["id"] in text


def test_a_target_has_a_bounded_length(api: Api) -> None:
    api.call("DELETE", f"/v1/keys/{'k' * 5000}")
    (record,) = told(api)
    assert len(record["target"]) == MAX_TARGET


def test_a_flood_of_refused_requests_wipes_nothing_of_what_others_did(api: Api, failures: Failures) -> None:
    ann = api.user_of("blue", "operator")
    ann.call("POST", "/v1/flavors", {"name": "small"})
    eve = api.user_of("red", "reader")
    for number in range(1200):
        assert eve.call("DELETE", f"/v1/instances/{number}").status_code == 403
    assert len(told(api, user=eve.name)) == EACH
    api.run(failures.close_window())
    api.run(failures.close_window())
    api.run(forget_old_records(api.store, AuditPolicy(keep_records=1000)))
    assert [one["operation"] for one in told(api, user=ann.name)] == ["POST /v1/flavors"]
    (more, *each) = told(api, user=eve.name)
    assert [one["target"] for one in each] == [f"/v1/instances/{number}" for number in range(EACH)][::-1]
    assert (more["operation"], more["outcome"]) == ("DELETE /v1/instances/{instance}", "refused")
    assert (more["target"], more["credential"]) == (f"{1200 - EACH} more within 60 s", each[0]["credential"])


def test_a_flood_of_failures_of_all_kinds_is_few_records(api: Api, failures: Failures) -> None:
    bob = api.user_of("blue", "member")
    kinds = [(method, f"/v1/{kind}/none") for kind in ("keys", "images") for method in ("DELETE", "PUT")]
    kinds += [
        ("PUT", f"/v1/nodes/n/{what}") for what in ("maintenance", "reservation", "disks", "power-device")
    ]
    kinds += [("DELETE", f"/v1/nodes/n/{what}") for what in ("maintenance", "reservation")]
    kinds += [("POST", f"/v1/nodes/n/{what}") for what in ("power", "verify", "clean")]
    kinds += [("GET", "/v1/nodes"), ("GET", "/v1/audit"), ("GET", "/v1/users"), ("GET", "/v1/hosts")]
    for _ in range(10):
        for method, path in kinds:
            assert bob.call(method, path, {} if method != "GET" else None).status_code >= 400
    api.run(failures.close_window())
    found = told(api, user=bob.name)
    assert len(found) == EACH + KINDS + 1
    assert found[0]["outcome"] == "failed:various"


def test_what_changed_something_is_always_a_record(api: Api) -> None:
    bob = api.user_of("blue", "member")
    for _ in range(2 * EACH):
        bob.call("DELETE", "/v1/keys/none")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    for number in range(2 * EACH):
        assert bob.call("POST", "/v1/keys", {"name": f"k{number}", "public_key": key}).status_code == 201
    assert len(told(api, user=bob.name, outcome="done")) == 2 * EACH


def test_an_answer_stands_when_its_refusal_cannot_be_recorded(api: Api) -> None:
    ann = api.user_of("blue", "reader")
    assert ann.call("DELETE", "/v1/keys/me").status_code == 403  # its token is known now
    transact = api.store.transact

    async def away(work: Any) -> Any:
        raise TransientError("write")

    api.store.transact = away  # type: ignore[method-assign]
    assert ann.call("DELETE", "/v1/keys/me").status_code == 403
    api.store.transact = transact  # type: ignore[method-assign]
    assert len(told(api, user=ann.name)) == 1


def test_old_records_are_forgotten_and_the_newest_kept(api: Api) -> None:
    def insert(count: int) -> None:
        record = AuditRecord(
            at=api.context_now(),
            tenant="t",
            user_id="",
            credential="",
            address="",
            operation="",
            target="",
            outcome="done",
            request_id="",
        )
        api.transact(lambda tx: tx.insert(*[record] * count))

    def left() -> int:
        return api.transact(lambda tx: tx.count(AuditRecord))

    insert(BATCH + 5)
    api.advanced_s = 100.0
    insert(10)
    api.run(forget_old_records(api.store, AuditPolicy(keep_s=200, keep_records=2000)))
    assert left() == BATCH + 15
    api.run(forget_old_records(api.store, AuditPolicy(keep_s=50, keep_records=2000)))
    assert left() == 10
    api.run(forget_old_records(api.store, AuditPolicy(keep_s=200, keep_records=4)))
    assert left() == 4
    assert [one["at"] for one in told(api)] == [api.context_now().isoformat().replace("+00:00", "Z")] * 4
