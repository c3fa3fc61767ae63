"""Whatever is sent: an answer or a refusal in EC2's words, nothing that isn't meant, and no change by what is
refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.ec2.shapes import Shape, model
from provisioner.api.limits import LimitPolicy, Limits
from provisioner.core.ec2_ids import account_of, instance_id, kernel_id, key_pair_id, public_id
from provisioner.core.model import Failure, ImageKind, ImageShare, ImageState, Instance, KeyPair, Tag
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx
from tests.searches import searching
from tests.unit import records
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.api.planted import PUBLIC_KEY, Kept, kept

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ID = st.sampled_from(["i-", "ami-", "aki-", "key-", ""]).flatmap(
    lambda prefix: st.text("0123456789abcdef", min_size=15, max_size=18).map(lambda digits: prefix + digits)
)
OWN = "fedcba98-89ab-4def-8123-000000000000"
"""The instance of the tenant that asks; its key pair and its image have the same id."""

BLUE = "01234567-89ab-4def-8123-000000000000"
"""The same of another tenant, and its node's."""

ADDRESS = "10.77.0.199"
"""Of its instance."""

SECRETS = ("blues-", BLUE, BLUE.replace("-", "")[:17], account_of("blue"), ADDRESS)
"""Words that are nowhere but in what belongs to it, and what it is known by."""

SHARED = "89abcdef-89ab-4def-8123-000000000000"
"""An image of a third tenant that is shared with the one that asks, and what that boots with isn't."""

VALUES = st.one_of(
    TEXT,
    ID,
    st.sampled_from(
        [instance_id(BLUE), key_pair_id(BLUE), kernel_id(BLUE), public_id("ami", BLUE), "blues-node"]
    ),
    st.sampled_from(
        [instance_id(OWN), key_pair_id(OWN), public_id("ami", OWN), public_id("ami", SHARED), "small"]
    ),
    st.sampled_from(["blue", "own", "1", "*"]),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        ["true", "false", "TRUE", "", "*", "\\", "%00", "{}", "../..", "2026-02-30T00:00:00Z", "==="]
    ),
    st.sampled_from(["http://[", "http://[x]/", "http://h:99999/"]),
    st.sampled_from(
        ["&lt;!--", "<!DOCTYPE a [<!ENTITY b 'c'>]>&b;", "a\r\nSet-Cookie: b", "\u2028", "\ufffe"]
    ),
)


def names(shape: Shape, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Parameters of a request, as far as they matter here."""
    for member in shape.members:
        inner = model().shape(member.shape)
        path = prefix + member.query
        if inner.item is not None:
            item = model().shape(inner.item.shape)
            yield from (names(item, f"{path}.1.", depth + 1) if item.members else (f"{path}.1", f"{path}.7"))
        elif inner.members and depth < 2:
            yield from names(inner, f"{path}.", depth + 1)
        else:
            yield path


@st.composite
def requests(draw: st.DrawFn) -> dict[str, str]:
    action = draw(st.sampled_from(sorted(OPERATIONS)))
    taken = sorted(
        name
        for name in names(model().input(action))
        if any(name.startswith(m.query) for m in model().input(action).members if m.name in takes(action))
    )
    told = draw(st.dictionaries(st.sampled_from(taken), VALUES, max_size=6))
    told |= draw(st.dictionaries(TEXT, VALUES, max_size=1))
    return {"Action": action, "Version": "2016-11-15"} | told


def takes(action: str) -> frozenset[str]:
    return OPERATIONS[action].takes | OPERATIONS[action].ignores


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2]:
    from datetime import datetime

    folder: Path = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.api.conftest.NOW", datetime.now().astimezone())
        api = Api(folder)
        api.start()
        api.register_images()
        # All comes from one address, and most of it isn't signed as it must be.
        api.context.limits = Limits(LimitPolicy(failures_per_minute=10**6))
        api.transact(_let_both_have_things)
        yield Ec2(api)
        api.stop()


def _let_both_have_things(tx: Tx) -> None:
    failure = Failure(code="blues-code", message="blues-failure")
    own = {"id": OWN, "name": "own", "tenant": "default", "state": InstanceState.ACTIVE, "node_id": OWN}
    blues = {
        "id": BLUE,
        "name": "blues-instance",
        "key_name": "blues-key",
        "user_data": "blues-user-data",
        "public_key": f"{PUBLIC_KEY} blues-public-key",
        "tenant": "blue",
        "state": InstanceState.ACTIVE,
        "address": ADDRESS,
        "node_id": BLUE,
        "failure": failure,
        "waiting_for": "blues-reason",
    }
    private = {"tenant": "blue", "public": False, "command_line": "blues-command-line", "failure": failure}
    url = "https://blues-mirror/?blues-token"
    kernel = {
        "id": "b" + BLUE[1:],
        "name": "blues-kernel",
        "tenant": "green",
        "kind": ImageKind.KERNEL,
        "state": ImageState.ERROR,
    }
    shared = {"id": SHARED, "name": "shared", "tenant": "green", "public": False, "kernel_id": kernel["id"]}
    resource = instance_id(BLUE)
    tag = {"resource_id": resource, "resource_type": "instance", "key": "blues-tag", "value": "blues-value"}
    tx.insert(
        records.instance(**own),
        records.node(id=OWN, name="own-node", instance_id=OWN, state="active"),
        KeyPair(id=OWN, name="own", public_key=PUBLIC_KEY, tenant="default"),
        records.image(id=OWN, name="own", kernel_id=None, ramdisk_id=None, public=False),
        records.instance(**blues),
        KeyPair(id=BLUE, name="blues-key", public_key=str(blues["public_key"]), tenant="blue"),
        records.image(id=BLUE, name="blues-image", source_url=url, **private),
        records.image(**private | kernel),
        records.image(**shared),
        ImageShare(id="s", image_id=SHARED, account=account_of("default"), said="default"),
        records.node(id=BLUE, name="blues-node", reserved_for="blue", instance_id=BLUE, state="active"),
        replace(records.event("blues-event", text="blues-detail"), node_id=BLUE, instance_id=BLUE),
        Tag(id="t", tenant="blue", **tag),
    )


def of_blue(kept: Kept) -> list[Any]:
    return [
        one
        for one in kept.values()
        if "blue" in (getattr(one, "tenant", ""), getattr(one, "reserved_for", ""))
    ]


def secrets_in(text: str) -> set[str]:
    return {word for word in SECRETS if word in text}


def check(ec2: Ec2, body: str) -> None:
    before = kept(ec2.api)
    answer = ec2.send(ec2.signed(body))
    assert answer.status_code < 500, answer.text
    assert ElementTree.fromstring(answer.content) is not None
    assert answer.headers["content-type"] == "text/xml;charset=UTF-8"
    assert "set-cookie" not in answer.headers
    after = kept(ec2.api)
    assert of_blue(after) == of_blue(before)
    assert not secrets_in(answer.text) - secrets_in(body)
    assert ec2.secret not in answer.text
    if answer.status_code != 200:
        assert after == before
        assert answer.text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors>')


@pytest.fixture(autouse=True)
def _without_limits(ec2: Ec2) -> None:
    """Thousands are sent from one address, most of them with a wrong signature."""
    endless = LimitPolicy(requests_per_s=1e9, request_burst=10**9, failures_per_minute=10**9)
    ec2.api.context.limits = Limits(endless)


QUIET = [HealthCheck.too_slow]


@pytest.mark.exhaustive
@given(requests())
@searching(400, suppress_health_check=QUIET)
def test_parameters_of_any_value_are_answered_or_refused(ec2: Ec2, request: dict[str, str]) -> None:
    check(ec2, urlencode(request))


@given(st.text(st.characters(max_codepoint=127), max_size=200))
@searching(200, suppress_health_check=QUIET)
def test_bodies_of_any_kind_are_refused(ec2: Ec2, body: str) -> None:
    check(ec2, body)
    check(ec2, f"Action=RunInstances&Version=2016-11-15&{body}")


SIGNED = ("Authorization", "X-Amz-Date", "Content-Type", "X-Amz-Security-Token")
HEADERS = st.dictionaries(
    st.sampled_from(SIGNED), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)
)


@given(HEADERS.filter(bool))
@searching(100, suppress_health_check=QUIET)
def test_what_is_not_signed_as_it_must_be_is_refused_whatever_its_headers_say(
    ec2: Ec2, headers: dict[str, str]
) -> None:
    request = ec2.signed("Action=DescribeInstances&Version=2016-11-15")
    told = {name: value.strip() for name, value in headers.items()}
    before = kept(ec2.api)
    answer = ec2.send(request, headers=told)
    assert answer.status_code in (400, 403), answer.text
    assert ElementTree.fromstring(answer.content).findtext("Errors/Error/Code")
    assert not secrets_in(answer.text) and ec2.secret not in answer.text
    assert kept(ec2.api) == before


@given(st.integers(0, 10_000), st.sampled_from("+/=%&.;\r\n\0Aé"))
@searching(200, suppress_health_check=QUIET)
def test_a_body_of_which_one_letter_was_changed_is_refused(ec2: Ec2, place: int, letter: str) -> None:
    body = f"Action=TerminateInstances&Version=2016-11-15&InstanceId.1={instance_id(BLUE)}"
    place %= len(body)
    changed = body[:place] + letter + body[place + 1 :]
    before = kept(ec2.api)
    answer = ec2.send(ec2.signed(body), content=changed.encode())
    assert answer.status_code in (400, 403) and (changed == body or answer.status_code == 403)
    assert not secrets_in(answer.text) - secrets_in(changed) and ec2.secret not in answer.text
    assert kept(ec2.api) == before


def test_nothing_of_it_asked_for_a_machine(ec2: Ec2) -> None:
    """There is no node in this place but another tenant's, so that none can have been run."""
    assert ec2.api.transact(lambda tx: tx.count(Instance, where={"state": InstanceState.REQUESTED})) == 0
