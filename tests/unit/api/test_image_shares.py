from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from provisioner.api import image_orders
from provisioner.core.ec2_ids import account_of
from provisioner.core.errors import PermanentError
from provisioner.core.model import IdempotencyRecord, Image, ImageShare, ImageState
from provisioner.core.public_address import AddressPolicy
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api, User
from tests.unit.records import node

DISK = {"name": "own", "kind": "disk"}
INSIDE = "http://127.0.0.1:1/disk"  # nobody listens there


@pytest.fixture
def blue(api: Api) -> User:
    return api.user_of("blue", "member")


@pytest.fixture
def red(api: Api) -> User:
    return api.user_of("red", "member")


def share(user: User, image: str, status: int = 200, **order: Any) -> Any:
    answer = user.call("PUT", f"/v1/images/{image}/sharing", order)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("said", ["red", account_of("red")])
def test_a_member_shares_its_tenants_image_with_another(api: Api, blue: User, red: User, said: str) -> None:
    id = blue.call("POST", "/v1/images", DISK).json()["id"]
    assert red.call("GET", f"/v1/images/{id}").status_code == 404
    assert share(blue, "own", add=[said, "nobody"])["shared_with"] == sorted([said, "nobody"])
    for named in (id, "own"):
        seen = red.call("GET", f"/v1/images/{named}").json()
        assert (seen["tenant"], seen["shared_with"]) == ("blue", []), "with whom else isn't theirs to see"
    assert red.names("/v1/images") == ["own"]
    assert api.user_of("green", "reader").names("/v1/images") == []
    # Shared is to be used, and not to be changed.
    share(red, id, 403, add=["green"])
    assert red.call("DELETE", f"/v1/images/{id}").status_code == 403

    share(blue, "own", remove=["red"])
    assert red.call("GET", f"/v1/images/{id}").status_code == 404
    assert red.names("/v1/images") == []


def test_of_two_images_of_a_name_a_tenant_means_its_own(blue: User, red: User) -> None:
    blue.call("POST", "/v1/images", DISK)
    own = red.call("POST", "/v1/images", DISK).json()["id"]
    share(blue, "own", add=["red"])
    assert red.call("GET", "/v1/images/own").json()["id"] == own


def test_shares_go_with_their_image_and_with_their_tenant(api: Api, blue: User) -> None:
    for name in ("one", "two"):
        blue.call("POST", "/v1/images", {**DISK, "name": name})
        share(blue, name, add=["later"])
    assert blue.call("DELETE", "/v1/images/one").status_code == 204
    assert api.transact(lambda tx: tx.count(ImageShare)) == 1
    api.post("/v1/tenants", {"name": "later"}, 201)
    assert api.call("DELETE", "/v1/tenants/later").status_code == 204
    assert api.transact(lambda tx: tx.count(ImageShare)) == 0, "the next of that name finds nothing"


def test_an_image_that_others_use_tells_nothing_of_them(api: Api, blue: User, red: User) -> None:
    id = blue.call("POST", "/v1/images", {"name": "k", "kind": "kernel"}).json()["id"]
    blue.call("POST", "/v1/images", {"name": "i", "kind": "ramdisk"})
    for name in ("k", "i"):
        share(blue, name, add=["red"])
    made = red.call(
        "POST", "/v1/images", {"name": "hidden", "kind": "root", "kernel_id": "k", "ramdisk_id": "i"}
    )
    assert made.status_code == 201, made.text
    told = blue.call("DELETE", f"/v1/images/{id}")
    assert told.status_code == 409 and "image of another tenant boots with it" in told.text
    assert "hidden" not in told.text


@pytest.mark.parametrize(
    "order", [{"add": ["A"]}, {"add": ["a"] * 1001}, {"with": ["a"]}, {"public": "perhaps"}]
)
def test_an_order_that_cant_be_read_shares_nothing(api: Api, blue: User, order: dict[str, Any]) -> None:
    blue.call("POST", "/v1/images", DISK)
    share(blue, "own", 422, **order)
    assert api.transact(lambda tx: tx.count(ImageShare)) == 0


def test_members_have_nothing_fetched_from_inside_and_operators_have(api: Api, blue: User) -> None:
    api.context.image_urls = AddressPolicy()
    refused = blue.call("POST", "/v1/images", {**DISK, "url": INSIDE})
    assert refused.status_code == 403 and "may not come from 127.0.0.1" in refused.text
    assert blue.names("/v1/images") == []
    api.post("/v1/images", {**DISK, "url": INSIDE}, 201)


def test_where_a_name_leads_is_seen_when_it_is_fetched(api: Api, blue: User) -> None:
    api.context.image_urls = AddressPolicy()
    made = blue.call("POST", "/v1/images", {**DISK, "url": "http://localhost:1/disk"}).json()
    with pytest.raises(PermanentError, match="localhost: it has no address that members'"):
        api.run(image_orders.fetch(api.context, made["id"]))
    shown = blue.call("GET", "/v1/images/own").json()
    assert (shown["state"], shown["failure"]["code"]) == ("error", "url-forbidden")
    assert "127.0.0.1" not in str(shown), "where a name leads inside isn't told"


def test_members_may_have_nothing_fetched_at_all(api: Api, blue: User) -> None:
    api.context.image_urls = AddressPolicy(members="none")
    refused = blue.call("POST", "/v1/images", {**DISK, "url": "https://images.example/disk"})
    assert refused.status_code == 403 and "not fetched from URLs here" in refused.text
    api.context.image_urls = AddressPolicy(members="none", also=(ip_network("127.0.0.0/8"),))
    assert blue.call("POST", "/v1/images", {**DISK, "url": INSIDE}).status_code == 201


def test_what_lets_one_fetch_an_image_is_in_no_answer(api: Api, red: User) -> None:
    url = "https://user:geheim@images.example/tiny.raw?X-Signature=geheim#geheim"
    order = {"name": "signed", "kind": "disk", "url": url}
    made = api.call("POST", "/v1/images", json=order, headers={"Idempotency-Key": "once-and-for-all"})
    assert made.status_code == 201
    assert made.json()["source_url"] == "https://images.example/tiny.raw"
    seen = red.call("GET", "/v1/images/signed").json()
    assert seen["source_url"] == "https://images.example/tiny.raw"
    told = [made.text, seen, red.call("GET", "/v1/images").text, api.get("/v1/audit")]
    told += api.transact(lambda tx: tx.find(IdempotencyRecord))
    assert "geheim" not in str(told)


def test_a_shared_root_is_run_though_what_it_boots_with_is_private(api: Api, blue: User, red: User) -> None:
    api.transact(lambda tx: tx.insert(node(state=ProvisionState.AVAILABLE)))
    api.post("/v1/flavors", {"name": "small", "cpus": 1, "memory_mib": 64, "disk_mib": 1}, 201)
    parts = {"kernel_id": "kernel", "ramdisk_id": "ramdisk"}
    orders = [{"name": kind, "kind": kind} for kind in parts.values()]
    for order in (*orders, {"name": "root", "kind": "root", **parts}):
        made = blue.call("POST", "/v1/images", order).json()
        api.transact(lambda tx, id=made["id"]: tx.update(Image, id, {"state": ImageState.ACTIVE}))  # type: ignore[misc]
    wanted = {"name": "web", "flavor": "small", "image": "root"}
    assert "image root" in red.call("POST", "/v1/instances", wanted).json()["title"]
    share(blue, "root", add=["red"])
    assert red.call("GET", "/v1/images/kernel").status_code == 404
    assert red.call("POST", "/v1/instances", wanted).status_code == 202
    assert red.call("POST", "/v1/placement", {"flavor": "small", "image": "root"}).status_code == 200
