"""What the OpenAPI document allows for, and what it doesn't, made up by schemathesis.

Whoever sends it, no answer is a defect, has another shape than described, or holds a secret or anything of
another tenant's; and what is refused has changed nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from provisioner.api.limits import LimitPolicy, Limits
from provisioner.core.model import Host, Image
from tests.described import described
from tests.unit.api.conftest import TOKEN, Api, node_entry
from tests.unit.api.planted import PUBLIC_KEY, Planted, kept
from tests.unit.records import NOW, event

PASSWORD = "open-sesame"  # of the node's BMC
SEALED = "gAAAAA"  # what each text begins with that is sealed (Fernet's version and the first of its time)

KNOWN = {
    "node": "n1",
    "image": "root",
    "instance": "web",
    "flavor": "small",
    "key": "k",
    "host": "ch1",
    "tenant": "blue",
    "user": "blue-reader",
    "name": "blue-reader",
}
"""What the parameters of a path may name so that there is something of that name."""

IN_BODIES: dict[str, Any] = {
    "kernel_id": "kernel",
    "ramdisk_id": "ramdisk",
    "public_key": PUBLIC_KEY,
    "power": node_entry()["power"],
    "ports": node_entry("n3", 3)["ports"],
}
"""Beside those."""

TRY = settings(
    max_examples=3,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same few in every run."""

SEARCH = settings(
    TRY, max_examples=40, derandomize=False, phases=[Phase.generate, Phase.shrink], print_blob=False
)
"""Others in every run."""

ENDLESS = LimitPolicy(requests_per_s=1e9, request_burst=10**9, failures_per_minute=10**9)
"""All comes from one address."""


class NoFetches:
    """Images whose bytes are somewhere else stay as they are: records change by requests alone, and nothing
    of what is made up here is asked for them."""

    async def run(self) -> None:
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Caller:
    """names: what is named in the place of what is made up; all: what is asked of it isn't narrowed by the
    parameters of a query, in which what is made up mostly leaves nothing to tell."""

    headers: Mapping[str, str]
    names: Mapping[str, str]
    oversees: bool = False
    all: bool = False


class Asked:
    """Sends the same request as several callers, and looks at each answer, and at what has changed."""

    def __init__(self, api: Api) -> None:
        api.register_images()
        self.api = api
        reader, self.member = api.user_of("blue", "reader"), api.user_of("blue", "member")
        order = {"name": "web", "flavor": "small", "image": "root"}
        key = {"name": "k", "public_key": PUBLIC_KEY}
        node = api.post("/v1/nodes", node_entry(), 201)["id"]
        for headers in ({}, self.member.headers):
            api.post("/v1/keys", key, 201, **headers)
            api.post("/v1/instances", order, 202, **headers)
        host = Host(id="ch1", epoch=1, beat=0, ttl_ms=5000, holder="h", renewed_at=NOW, started_at=NOW)
        api.transact(lambda tx: tx.insert(replace(event("step.done"), node_id=node), host))
        own = {"name": "blues", "kind": "disk"}
        self.member.call("POST", "/v1/images", own).raise_for_status()
        self.planted = Planted(api)
        blues = KNOWN | {"image": "blues"}
        self.mine = (
            Caller(reader.headers, blues),
            Caller(self.member.headers, blues),
            Caller({}, KNOWN, oversees=True),
        )
        # Each operation is tried three times, so that each of them has its turn.
        self.turns = itertools.cycle(self.mine)
        self.theirs = itertools.cycle(
            Caller(self.member.headers, KNOWN | names, all=True)
            for names in (self.planted.names, self.planted.ids, {"image": "violets"})
        )
        self.kept = kept(api)
        self.statuses: set[tuple[bool, int]] = set()

    def of_what_is_there(self, case: Any) -> None:
        self._ask(case, *self.mine, next(self.theirs))

    def of_anything(self, case: Any) -> None:
        self._ask(case, replace(next(self.turns), names={}))

    def _ask(self, case: Any, *callers: Caller) -> None:
        made_up = case.path_parameters or {}
        for caller in callers:
            case.path_parameters = {name: caller.names.get(name, value) for name, value in made_up.items()}
            request = _request(case, caller)
            answer = self.api.call(**request)
            self.statuses.add((caller.oversees, answer.status_code))
            assert_sound(answer)
            told = self.planted.told(f"{answer.headers} {answer.text}", oversees=caller.oversees)
            told -= self.planted.told(str(request), oversees=caller.oversees)
            assert not told, (told, request, answer.text)
            self._look_what_has_changed(answer, caller)
        case.path_parameters = made_up

    def _look_what_has_changed(self, answer: httpx.Response, caller: Caller) -> None:
        if answer.is_success and answer.request.method in ("GET", "HEAD"):
            return  # what it had changed would be seen after the next one that is refused
        before, self.kept = self.kept, kept(self.api)
        changed = {key for key in before | self.kept if before.get(key) != self.kept.get(key)}
        if answer.is_success:
            changed = set() if caller.oversees else changed & self.planted.keys
        elif answer.request.url.path.endswith("/content"):
            # Of an image whose bytes couldn't be stored it is told; nobody but its tenant can send them.
            changed = {key for key in changed if key[0] is not Image or key in self.planted.keys}
        assert not changed, (changed, answer.request, answer.text)


def _request(case: Any, caller: Caller) -> dict[str, Any]:
    told = case.as_transport_kwargs(base_url="http://provisioner")
    headers = {
        name: value
        for name, value in told["headers"].items()
        if name.lower() not in ("authorization", "content-length", "transfer-encoding")
    }
    params = dict(told.get("params") or {})
    # These would make the test last: they are tried by themselves, with a clock that is moved.
    params.pop("follow", None)
    with suppress(TypeError, ValueError):
        if float(params.get("wait_s", 0)) > 0:
            params["wait_s"] = 0
    names = caller.names
    if names and "tenant" in params:
        params["tenant"] = names["tenant"]
    if caller.all:
        params = {"tenant": names["tenant"]} if "tenant" in params else {}
    request = {"method": told["method"], "path": told["url"], "params": params}
    request["headers"] = {**headers, **caller.headers}
    if "json" not in told:
        return request | {"content": _bytes(told.get("data"))}
    body = told["json"]
    if names and isinstance(body, dict):
        there = {**IN_BODIES, **names}
        body = {name: value if name == "name" else there.get(name, value) for name, value in body.items()}
    return request | {"json": body}


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else str(data or "").encode()


def assert_sound(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    for secret in (TOKEN, PASSWORD, SEALED, "Traceback", "/site-packages/"):
        assert secret not in answer.text
    if answer.is_error and answer.request.method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "code", "title", "status"} <= set(answer.json())


@contextmanager
def place(folder: Path) -> Iterator[Api]:
    """With a database that is one: it can't hold every number and every text that Python can."""
    folder.mkdir(exist_ok=True)
    api = Api(folder, f"sqlite:///{folder}/store.db")
    api.app.state.fetches = NoFetches()
    api.start()
    try:
        yield api
    finally:
        api.stop()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with place(tmp_path) as api:
        yield api


def operations() -> list[Any]:
    document: Any = schemathesis.openapi.from_dict(deepcopy(described()))
    found = [one.ok() for one in document.get_all_operations()]
    # What is removed is missed by all that follow.
    return sorted(found, key=lambda one: (one.method == "delete", one.path, one.method))


def ask_for(operation: Any, asked: Asked, how: settings, chosen_by: str | None = None) -> None:
    """chosen_by: what the same examples follow from, where `how` leaves it to chance."""
    for mode, ask in (
        (GenerationMode.POSITIVE, asked.of_what_is_there),
        (GenerationMode.NEGATIVE, asked.of_anything),
    ):
        test: Any = how(given(operation.as_strategy(generation_mode=mode))(ask))
        with suppress(Unsatisfiable):  # nothing of it can be wrong
            (test if chosen_by is None else seed(f"{chosen_by} {mode}")(test))()


def assert_asked(statuses: set[tuple[bool, int]]) -> None:
    """So that it doesn't pass by asking for nothing."""
    for oversees in (True, False):
        assert {(oversees, status) for status in (200, 201, 202, 204, 404, 409, 422)} <= statuses


def test_whatever_is_sent_to_any_operation_is_answered_soundly(api: Api) -> None:
    asked = Asked(api)
    for operation in operations():
        ask_for(operation, asked, TRY)
    assert_asked(asked.statuses)


@pytest.mark.full
def test_a_search_finds_nothing_that_is_answered_unsoundly(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each operation in a place of its own, so that what is found needs nothing of what came before it.
    --hypothesis-seed repeats a search."""
    chosen = request.config.getoption("--hypothesis-seed")
    number = str(secrets.randbits(32)) if chosen in (None, "random") else str(chosen)
    statuses: set[tuple[bool, int]] = set()
    for index, operation in enumerate(operations()):
        with place(tmp_path / str(index)) as api:
            api.context.limits = Limits(ENDLESS)
            asked = Asked(api)
            try:
                ask_for(operation, asked, SEARCH, f"{number} {operation.label}")
            except BaseException as error:
                error.add_note(f"{operation.label}: repeat it with --hypothesis-seed={number}")
                raise
            statuses |= asked.statuses
    assert_asked(statuses)


HALF = b"\\ud800"  # of a surrogate pair: JSON has it, UTF-8 doesn't
NUL = b"\\u0000"  # which PostgreSQL hasn't
NODE = node_entry("n9", 9)


@pytest.mark.parametrize("odd", [HALF, NUL])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("flavors", b'{"name": "f", "extra_specs": {"ODD": "b"}}'),
        ("flavors", b'{"name": "f", "extra_specs": {"cpu_arch": "ODD"}}'),
        ("instances", b'{"name": "w", "flavor": "ODD", "image": "root"}'),
        ("instances", b'{"name": "w", "flavor": "small", "image": "root", "user_data": "ODD"}'),
        ("instances", b'{"name": "w", "flavor": "small", "image": "root", "proof_of_life": ["console:ODD"]}'),
        ("images", b'{"name": "i", "kind": "disk", "url": "http://ODD"}'),
        ("placement", b'{"flavor": "ODD", "image": "root"}'),
        ("nodes", json.dumps(NODE | {"root_device": {"serial": "ODD"}}).encode()),
        ("nodes/n1/power", b'{"verb": "ODD"}'),
        ("keys", b'{"name": "k", "public_key": "ssh-ed25519 ODD"}'),
    ],
)
def test_text_that_no_database_could_hold_is_refused(api: Api, path: str, body: bytes, odd: bytes) -> None:
    as_json = {"Content-Type": "application/json"}
    answer = api.call("POST", f"/v1/{path}", content=body.replace(b"ODD", odd), headers=as_json)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-input")


def test_a_password_that_is_no_text_is_refused_and_not_repeated(api: Api) -> None:
    power = NODE["power"] | {"password": "open-\ud800-sesame"}
    content = json.dumps(NODE | {"power": power}).encode()
    answer = api.call("POST", "/v1/nodes", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "sesame" in answer.text) == (422, False)


@pytest.mark.parametrize(
    "path", ["nodes/%00", "images/a%00b", "keys/%00", "nodes?after=%00", "events?after=1" + "0" * 30]
)
def test_names_and_numbers_that_no_database_could_hold_are_refused(api: Api, path: str) -> None:
    assert api.call("GET", f"/v1/{path}").status_code in (404, 422)


@pytest.mark.parametrize("name", ["vcpus", "memory_mib", "disk_mib"])
def test_a_node_is_of_a_size_that_there_is(api: Api, name: str) -> None:
    api.post("/v1/nodes", NODE | {name: 2**63}, 422)


def test_every_text_and_number_that_may_be_sent_is_bounded() -> None:
    """By the document itself; but for those of a path, which lead nowhere."""
    document = described()
    schemas = document["components"]["schemas"]
    unbounded, seen = [], set()

    def walk(schema: dict[str, Any], where: str) -> None:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            if name not in seen:
                seen.add(name)
                walk(schemas[name], name)
            return
        if not is_bounded(schema):
            unbounded.append(where)
        for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), schema.get("items")):
            if isinstance(inner, dict):
                walk(inner, where)
        for name, inner in schema.get("properties", {}).items():
            walk(inner, f"{where}.{name}")
        if isinstance(schema.get("additionalProperties"), dict):
            walk(schema["additionalProperties"], where)
            walk(schema.get("propertyNames", {"type": "string"}), where)

    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    walk(parameter["schema"], f"{verb} {path}?{parameter['name']}")
            for content in operation.get("requestBody", {}).get("content", {}).values():
                walk(content["schema"], f"{verb} {path}")
    assert len(seen) > 10
    assert unbounded == []


def is_bounded(schema: dict[str, Any]) -> bool:
    if "enum" in schema or "const" in schema or "format" in schema:
        return True
    match schema.get("type"):
        case "string":
            return "maxLength" in schema or schema.get("pattern", "").endswith("$")
        case "integer" | "number":
            return "maximum" in schema
    return True
