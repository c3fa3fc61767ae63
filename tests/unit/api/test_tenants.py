from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any, cast

import pytest

from provisioner.api.visible import find_instance
from provisioner.core.errors import NotFound
from provisioner.core.model import Instance, Node, Tag
from provisioner.core.roles import Principal, Role
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx
from tests.unit import records
from tests.unit.api.conftest import Api, User, node_entry
from tests.unit.records import NOW, node

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFl1bGV0aWRlIHRlc3Qga2V5IG9mIHRoZSBtb2RlbCEh lab"


@pytest.fixture
def blue(api: Api) -> User:
    return api.user_of("blue", "member")


@pytest.fixture
def red(api: Api) -> User:
    return api.user_of("red", "member")


def made(user: User, path: str, body: dict[str, Any]) -> str:
    answer = user.call("POST", path, body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def instance(user: User, name: str = "web") -> str:
    return made(user, "/v1/instances", {"name": name, "flavor": "small", "image": "root"})


def assert_as_nobodys(user: User, method: str, path: str, id: str, body: Any = None) -> None:
    """What is answered of another's is, word by word, what is answered of nothing."""
    theirs = user.call(method, path.format(id), body)
    nothing = user.call(method, path.format("z" * len(id)), body)
    assert theirs.status_code == nothing.status_code == 404
    assert theirs.text.replace(id, "z" * len(id)) == nothing.text


def test_instances_of_another_tenant_are_as_nobodys(api: Api, blue: User, red: User) -> None:
    api.register_images()
    id = instance(blue)
    for named in (id, "web"):
        for path in ("", "/timeline", "/console"):
            assert_as_nobodys(red, "GET", "/v1/instances/{}" + path, named)
        assert_as_nobodys(red, "DELETE", "/v1/instances/{}", named)
    assert red.names("/v1/instances") == []
    assert red.names("/v1/instances?tenant=blue") == red.names("/v1/instances?tenant=nobody") == []
    assert blue.names("/v1/instances") == blue.names("/v1/instances?tenant=blue") == ["web"]


def test_two_tenants_may_give_the_same_name(api: Api, blue: User, red: User) -> None:
    api.register_images()
    ids = {"blue": instance(blue), "red": instance(red)}
    for user, tenant in ((blue, "blue"), (red, "red")):
        shown = user.call("GET", "/v1/instances/web").json()
        assert (shown["id"], shown["tenant"]) == (ids[tenant], tenant)
        assert user.call(
            "POST", "/v1/instances", {"name": "web", "flavor": "small", "image": "root"}
        ).is_error
    told = api.get("/v1/instances/web", 409)["title"]
    assert "one of each: blue, red. Give its id" in told
    assert red.call("DELETE", "/v1/instances/web").status_code == 202
    assert api.get("/v1/instances/web")["id"] == ids["blue"]


def test_where_an_instance_would_go_tells_members_of_no_other_node(api: Api, blue: User) -> None:
    api.register_images()
    for number in (1, 2):
        api.post("/v1/nodes", node_entry(f"n{number}", number), 201)
    order = {"flavor": "small", "image": "root"}
    assert {one["node"] for one in api.post("/v1/placement", order, 200)["refused"]} == {"n1", "n2"}
    told = blue.call("POST", "/v1/placement", order).json()
    assert (told["refused"], told["refused_nodes"]) == ([], 2)
    assert told["why"] == "no node fits: 2 × it is enrolling"


def test_where_an_instance_would_go_names_no_node_that_was_not_asked_for(api: Api, blue: User) -> None:
    api.register_images()
    api.post("/v1/nodes", node_entry(), 201)
    order = {"flavor": "small", "image": "root"}
    assert blue.call("POST", "/v1/placement", order).json()["why"] == "no node fits: 1 × it is enrolling"
    asked = blue.call("POST", "/v1/placement", order | {"node": "n1"}).json()["why"]
    assert asked == "node n1: it is enrolling"


def test_a_node_that_is_reserved_for_another_tenant_is_as_nobodys(api: Api, blue: User, red: User) -> None:
    api.register_images()
    id = api.post("/v1/nodes", node_entry("kept", disk_mib=1, reserved_for="red"), 201)["id"]
    for path, order in (("instances", {"name": "web"}), ("placement", {})):
        for named in (id, "kept"):
            body = {"flavor": "small", "image": "root", "node": named} | order
            theirs = blue.call("POST", f"/v1/{path}", body)
            nothing = blue.call("POST", f"/v1/{path}", body | {"node": "z" * len(named)})
            assert theirs.status_code == nothing.status_code == 404
            assert theirs.text.replace(named, "z" * len(named)) == nothing.text
    order = {"name": "web", "flavor": "small", "image": "root", "node": "kept"}
    assert "its disk has 1 MiB" in red.call("POST", "/v1/instances", order).json()["title"]


def test_of_what_a_shared_image_boots_with_its_tenant_alone_learns_more_than_the_state(
    api: Api, blue: User, red: User
) -> None:
    api.post("/v1/flavors", {"name": "small"}, 201)
    for part in ("kernel", "ramdisk"):
        made(blue, "/v1/images", {"name": f"blues-{part}", "kind": part})
    own = {"name": "own", "kind": "root", "kernel_id": "blues-kernel", "ramdisk_id": "blues-ramdisk"}
    made(blue, "/v1/images", own)
    blue.call("PUT", "/v1/images/own/content", content=b"own" * 512).raise_for_status()
    assert blue.call("PUT", "/v1/images/blues-kernel/content", content=b"").status_code == 422
    blue.call("PUT", "/v1/images/own/sharing", {"add": ["red"]}).raise_for_status()
    order = {"flavor": "small", "image": "own"}
    told = blue.call("POST", "/v1/placement", order).json()["answer"]
    assert told.startswith("image blues-kernel is error: save the image: it is empty. ")
    told = red.call("POST", "/v1/placement", order).json()["answer"]
    assert told == "the kernel that it boots with is error"


def test_operators_see_and_change_what_all_tenants_have(api: Api, blue: User) -> None:
    api.register_images()
    instance(blue)
    operator = api.user_of("red", "operator")
    assert operator.names("/v1/instances") == operator.names("/v1/instances?tenant=blue") == ["web"]
    assert operator.names("/v1/instances?tenant=red") == []
    assert operator.call("DELETE", "/v1/instances/web").status_code == 202


def test_keys_are_a_tenants_own(api: Api, blue: User, red: User) -> None:
    id = made(blue, "/v1/keys", {"name": "me", "public_key": KEY})
    for named in (id, "me"):
        assert_as_nobodys(red, "GET", "/v1/keys/{}", named)
        assert_as_nobodys(red, "DELETE", "/v1/keys/{}", named)
    made(red, "/v1/keys", {"name": "me", "public_key": KEY})
    api.register_images()
    order = {"name": "web", "flavor": "small", "image": "root", "key": id}
    assert red.call("POST", "/v1/instances", order).status_code == 404


def test_private_images_of_another_tenant_are_as_nobodys(api: Api, blue: User, red: User) -> None:
    id = made(blue, "/v1/images", {"name": "own", "kind": "disk"})
    api.post("/v1/flavors", {"name": "small"}, 201)
    for named in (id, "own"):
        assert_as_nobodys(red, "GET", "/v1/images/{}", named)
        assert_as_nobodys(red, "DELETE", "/v1/images/{}", named)
        assert_as_nobodys(red, "PUT", "/v1/images/{}/content", named)
        order = {"name": "web", "flavor": "small", "image": named}
        assert red.call("POST", "/v1/instances", order).status_code == 404
        assert red.call("POST", "/v1/placement", {"flavor": "small", "image": named}).status_code == 404
    assert red.names("/v1/images") == []
    made(red, "/v1/images", {"name": "own", "kind": "disk"})
    assert blue.call("POST", "/v1/images", {"name": "own", "kind": "disk"}).status_code == 409
    told = api.get("/v1/images/own", 409)["title"]
    assert "blue, red" in told


def test_public_images_are_all_tenants_to_use_and_operators_to_change(api: Api, blue: User) -> None:
    api.register_images()
    assert blue.names("/v1/images") == ["kernel", "ramdisk", "root"]
    for method, path in (("DELETE", ""), ("PUT", "/content")):
        answer = blue.call(method, f"/v1/images/root{path}")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert blue.call("POST", "/v1/images", {"name": "x", "kind": "disk", "public": True}).status_code == 403
    assert api.call("DELETE", "/v1/images/root").status_code == 204


def test_a_tenants_own_image_comes_before_a_public_one_of_its_name(api: Api, blue: User, red: User) -> None:
    shared = api.post("/v1/images", {"name": "tiny", "kind": "disk"}, 201)["id"]
    own = made(blue, "/v1/images", {"name": "tiny", "kind": "disk"})
    assert blue.call("GET", "/v1/images/tiny").json()["id"] == own
    assert red.call("GET", "/v1/images/tiny").json()["id"] == shared
    assert api.call("PUT", f"/v1/images/{own}/sharing", json={"public": True}).status_code == 409


def test_sharing_an_image_shows_it_and_hides_it_again(api: Api, blue: User, red: User) -> None:
    made(blue, "/v1/images", {"name": "kernel", "kind": "kernel"})
    made(blue, "/v1/images", {"name": "ramdisk", "kind": "ramdisk"})
    own = {"name": "own", "kind": "root", "kernel_id": "kernel", "ramdisk_id": "ramdisk"}
    made(blue, "/v1/images", own)
    assert blue.call("PUT", "/v1/images/own/sharing", {"public": True}).status_code == 403
    told = api.call("PUT", "/v1/images/own/sharing", json={"public": True})
    assert (told.status_code, "kernel, which it boots with, is private" in told.text) == (409, True)
    for name in ("kernel", "ramdisk", "own"):
        api.call("PUT", f"/v1/images/{name}/sharing", json={"public": True}).raise_for_status()
    assert len(red.names("/v1/images")) == 3
    api.call("PUT", "/v1/images/own/sharing", json={"public": False}).raise_for_status()
    assert red.names("/v1/images") == ["kernel", "ramdisk"]


def test_pages_of_images_hold_what_may_be_seen_and_nothing_else(api: Api, blue: User, red: User) -> None:
    for number in range(4):
        for user in (blue, red):
            made(user, "/v1/images", {"name": f"i{number}", "kind": "disk"})
        api.post("/v1/images", {"name": f"public{number}", "kind": "disk"}, 201)
    names, path = [], "/v1/images?limit=3"
    while path:
        found = blue.call("GET", path).json()
        names += [item["name"] for item in found["items"]]
        path = found.get("next", "")
    assert sorted(names) == [*(f"i{n}" for n in range(4)), *(f"public{n}" for n in range(4))]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file:///var/lib/provisioner/secret.key"])
def test_members_have_no_file_of_the_provisioners_system_read(api: Api, blue: User, url: str) -> None:
    answer = blue.call("POST", "/v1/images", {"name": "x", "kind": "disk", "url": url})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_tenant_goes_once_it_has_nothing(api: Api, blue: User) -> None:
    made(blue, "/v1/keys", {"name": "me", "public_key": KEY})
    told = api.call("DELETE", "/v1/tenants/blue")
    assert (told.status_code, "it has users, keys" in told.text) == (409, True)
    assert blue.call("DELETE", "/v1/keys/me").status_code == 204
    assert api.call("DELETE", f"/v1/users/{blue.name}").status_code == 204
    tag = Tag(id="blue:ami:k", tenant="blue", resource_id="ami", resource_type="image", key="k", value="v")
    kept = node(reserved_for="blue")
    api.transact(lambda tx: tx.insert(tag, kept))
    told = api.call("DELETE", "/v1/tenants/blue")
    assert (told.status_code, f"reserved for it: {kept.name}" in told.text) == (409, True)
    api.transact(lambda tx: tx.delete(Node, kept.id))
    assert api.call("DELETE", "/v1/tenants/blue").status_code == 204
    assert api.transact(lambda tx: tx.count(Tag)) == 0, "the next of that name finds nothing"
    assert api.call("DELETE", "/v1/tenants/blue").status_code == 404
    api.post("/v1/users", {"name": "bob", "tenant": "blue"}, 404)


def test_a_name_whose_last_tenant_s_instances_are_told_still_is_nobody_else_s(api: Api) -> None:
    api.transact(lambda tx: tx.insert(records.instance(tenant="green", state=InstanceState.DELETED)))
    told = api.call("POST", "/v1/tenants", json={"name": "green"})
    assert (told.status_code, "take another name" in told.text) == (409, True)
    api.transact(lambda tx: tx.delete(Instance, "instance-1"))
    assert api.call("POST", "/v1/tenants", json={"name": "green"}).status_code == 201


def test_somebody_can_always_make_tokens(api: Api) -> None:
    boss = api.user_of("red", "admin")
    for method, path, body in (("DELETE", "/v1/tokens/first", None), ("DELETE", "/v1/users/admin", None)):
        assert boss.call(method, path, body).status_code == 204
    last = f"/v1/users/{boss.name}"
    assert boss.call("PUT", last, {"role": "operator"}).status_code == 409
    assert boss.call("DELETE", last).status_code == 409
    assert boss.call("DELETE", f"/v1/tokens/{boss.name}").status_code == 409
    assert boss.call("GET", "/v1/tenants").status_code == 200


def test_an_instance_is_found_by_its_name_among_thousands_that_were_deleted(api: Api, blue: User) -> None:
    """Of those one record is read, by nobody but their own tenant."""
    read: list[str] = []

    def fill(tx: Tx) -> None:
        for number in range(300):
            at = NOW + timedelta(seconds=number)
            gone = records.instance(
                id=f"gone-{number:03}", name="web", tenant="blue", state=InstanceState.DELETED, created_at=at
            )
            tx.insert(gone)

    api.transact(fill)

    class Counting:
        def __init__(self, tx: Tx) -> None:
            self._tx = tx

        def get(self, kind: type[Instance], id: str) -> Instance | None:
            return self._counted([self._tx.get(kind, id)])[0]

        def find(self, kind: type[Instance], **how: Any) -> list[Instance]:
            return self._counted(self._tx.find(kind, **how))

        def pick(self, *words: Any, **how: Any) -> list[tuple[Any, ...]]:
            return self._tx.pick(*words, **how)

        def _counted(self, found: list[Any]) -> list[Any]:
            read.extend(one.id for one in found if one is not None)
            return found

    for tenant, told in (("blue", ["gone-299"]), ("green", [])):
        read.clear()
        who = Principal(user="", tenant=tenant, role=Role.MEMBER, credential="")
        with nullcontext() if told else pytest.raises(NotFound):
            api.transact(lambda tx, who=who: find_instance(cast(Tx, Counting(tx)), who, "web"))
        assert read == told
