from __future__ import annotations

import pytest

from provisioner.api.access_keys import MAX_PER_TENANT
from provisioner.core.model import AccessKey, KeyPair
from tests.unit.api.conftest import Api


def test_a_secret_is_in_the_answer_that_makes_it_and_sealed_in_the_store(api: Api) -> None:
    made = api.post("/v1/access-keys", {"tenant": "blue"}, 201)
    stored = api.transact(lambda tx: tx.get(AccessKey, made["id"]))
    assert stored is not None
    assert stored.tenant == "blue"
    assert made["secret"] not in repr(stored)
    assert api.box.open(stored.secret_sealed) == made["secret"]
    listed = api.call("GET", "/v1/access-keys").text
    assert made["id"] in listed
    assert made["secret"] not in listed
    assert "sealed" not in listed


def test_keys_are_listed_by_tenant(api: Api) -> None:
    blue = api.post("/v1/access-keys", {"tenant": "blue"}, 201)["id"]
    api.post("/v1/access-keys", {}, 201)
    assert [key["id"] for key in api.get("/v1/access-keys", tenant="blue")["items"]] == [blue]
    assert {key["tenant"] for key in api.get("/v1/access-keys")["items"]} == {"blue", "default"}


def test_a_known_key_is_forgotten_when_it_is_deleted(api: Api) -> None:
    made = api.post("/v1/access-keys", {}, 201)
    known = api.run(api.context.access_key(made["id"]))
    assert known is not None
    assert known.secret == made["secret"]
    assert made["secret"] not in repr(known)
    assert api.call("DELETE", f"/v1/access-keys/{made['id']}").status_code == 204
    assert api.run(api.context.access_key(made["id"])) is None
    assert api.call("DELETE", f"/v1/access-keys/{made['id']}").status_code == 404


def test_a_tenant_has_a_bounded_number_of_keys(api: Api) -> None:
    for _ in range(MAX_PER_TENANT):
        api.post("/v1/access-keys", {}, 201)
    api.post("/v1/access-keys", {}, 409)
    api.post("/v1/access-keys", {"tenant": "another"}, 201)


@pytest.mark.parametrize("tenant", ["", "A", "a b", "-a", "a" * 64, "a\n", 1])
def test_a_tenant_has_a_name_of_plain_letters(api: Api, tenant: object) -> None:
    api.post("/v1/access-keys", {"tenant": tenant}, 422)


def test_the_rest_api_has_the_key_pairs_of_the_default_tenant(api: Api) -> None:
    api.transact(
        lambda tx: tx.insert(KeyPair(id="0", name="mine", public_key="ssh-ed25519 AAAA", tenant="blue"))
    )
    assert api.get("/v1/keys")["items"] == []
    api.get("/v1/keys/mine", 404)
    api.get("/v1/keys/0", 404)
