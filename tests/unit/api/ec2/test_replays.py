"""Requests that somebody read, and sends to another API process, or to the same one after its restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from botocore.awsrequest import AWSRequest

from provisioner.api.ec2.replays import REPEAT_S, forget_old_signatures
from provisioner.api.ec2.signature import MAX_SKEW_S
from provisioner.api.housekeeping import ANSWER_KEPT_S, BATCH, SIGNED, forget_old_answers
from provisioner.core.model import IdempotencyRecord, Instance, KeyPair, NodeRequest
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.services.system import RandomIds
from tests.unit.api.conftest import Api
from tests.unit.api.counting_store import CountingStore
from tests.unit.api.ec2.conftest import PUBLIC_KEY, Ec2, code_of, later
from tests.unit.records import instance, node

PUT = f"Action=ImportKeyPair&Version=2016-11-15&KeyName=k&PublicKeyMaterial={quote(PUBLIC_KEY)}"
TAKE = "Action=DeleteKeyPair&Version=2016-11-15&KeyName=k"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """With a database that another process can have too."""
    api = Api(tmp_path / "one", f"sqlite:///{tmp_path}/store.db")
    api.start()
    yield api
    api.stop()


@pytest.fixture
def other(ec2: Ec2, tmp_path: Path) -> Iterator[Api]:
    """Another process on the client's database."""
    other = Api(tmp_path / "other", f"sqlite:///{tmp_path}/store.db")
    other.context.ids = RandomIds()
    other.context.unseal = ec2.api.box.open
    other.start()
    yield other
    other.stop()


def send(api: Api, request: AWSRequest) -> httpx.Response:
    return api.call("POST", "/ec2", content=request.data, headers=dict(request.headers.items()))


def pass_by(seconds: float, *apis: Api) -> None:
    for api in apis:
        later(api, seconds)


def test_an_order_is_carried_out_by_one_process_alone(api: Api, other: Api, ec2: Ec2) -> None:
    put, take = ec2.signed(PUT), ec2.signed(TAKE)
    assert send(api, put).status_code == 200
    assert send(api, take).status_code == 200
    pass_by(REPEAT_S + 1, api, other)
    told = send(other, put)
    assert (code_of(told), "accepted already" in told.text) == ("RequestExpired", True)
    assert api.transact(lambda tx: tx.find(KeyPair)) == []


def test_an_order_is_carried_out_once_though_its_process_was_started_anew(
    api: Api, other: Api, ec2: Ec2
) -> None:
    runs = instance(id="01234567-89ab-4def-8123-000000000000", state=InstanceState.ACTIVE, node_id="node-1")
    carried = node(id="node-1", state=ProvisionState.ACTIVE, power_state=PowerState.ON)
    api.transact(lambda tx: tx.insert(carried, runs))
    reboot = ec2.signed("Action=RebootInstances&Version=2016-11-15&InstanceId.1=i-0123456789ab4def8")
    assert send(api, reboot).status_code == 200
    api.transact(lambda tx: [tx.delete(NodeRequest, one.id) for one in tx.find(NodeRequest)])
    pass_by(REPEAT_S + 1, api, other)
    assert code_of(send(other, reboot)) == "RequestExpired"
    assert api.transact(lambda tx: tx.count(NodeRequest)) == 0


def test_equal_orders_of_a_second_are_carried_out_by_whatever_process_they_come_to(
    api: Api, other: Api, ec2: Ec2
) -> None:
    put, take = ec2.signed(PUT), ec2.signed(TAKE)
    orders = [(api, put), (other, take), (other, put), (api, take), (api, put)]
    assert [send(to, order).status_code for to, order in orders] == [200] * 5
    assert [one.name for one in api.transact(lambda tx: tx.find(KeyPair))] == ["k"]


@pytest.mark.parametrize("token", ["", "&ClientToken=t"])
def test_a_machine_is_made_once(api: Api, other: Api, ec2: Ec2, token: str) -> None:
    api.register_images()
    free = {"state": ProvisionState.AVAILABLE, "owner": "ch1"}
    api.transact(lambda tx: tx.insert(*(node(id=f"node-{n}", name=f"n{n}", **free) for n in range(2))))
    image = next(one["ImageId"] for one in ec2.read("DescribeImages")["Images"] if one["Name"] == "root")
    run = ec2.signed(
        f"Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&ImageId={image}&InstanceType=small{token}"
    )
    assert send(api, run).status_code == 200
    told = send(other, run)
    assert "<instanceId>" in told.text if token else code_of(told) == "RequestExpired"
    assert api.transact(lambda tx: tx.count(Instance)) == 1


def test_what_was_not_done_is_not_remembered(api: Api, other: Api, ec2: Ec2) -> None:
    """Nor is a question: it changes nothing."""
    dry, lists = ec2.signed(f"{PUT}&DryRun=true"), ec2.signed("Action=DescribeImages&Version=2016-11-15")
    assert [send(api, one).status_code for one in (dry, lists)] == [412, 200]
    assert api.transact(lambda tx: tx.find(IdempotencyRecord)) == []
    pass_by(REPEAT_S + 1, api, other)
    assert [send(other, one).status_code for one in (dry, lists)] == [412, 200]


def test_an_order_that_is_refused_writes_nothing(api: Api, ec2: Ec2) -> None:
    """Those that the store carries out together with it would be undone with it, and carried out again."""
    counting = api.context.store = CountingStore(api.store)
    for action in ("TerminateInstances", "RebootInstances"):
        assert ec2.refused(action, **{"InstanceId.1": "i-00000000000000000"}) == "InvalidInstanceID.NotFound"
    assert counting.added
    assert set(counting.added) == {0}


def test_of_equal_orders_at_once_one_is_carried_out(api: Api, other: Api, ec2: Ec2) -> None:
    api.register_images()
    free = {"state": ProvisionState.AVAILABLE, "owner": "ch1"}
    api.transact(lambda tx: tx.insert(*(node(id=f"node-{n}", name=f"n{n}", **free) for n in range(4))))
    image = next(one["ImageId"] for one in ec2.read("DescribeImages")["Images"] if one["Name"] == "root")
    run = ec2.signed(
        f"Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&ImageId={image}&InstanceType=small"
    )
    headers = dict(run.headers.items())

    async def story() -> list[int]:
        orders = (api.request("POST", "/ec2", content=run.data, headers=headers) for _ in range(4))
        return [answer.status_code for answer in await asyncio.gather(*orders)]

    assert sorted(api.run(story())) == [200, 400, 400, 400]
    assert code_of(send(other, run)) == "RequestExpired"
    assert api.transact(lambda tx: tx.count(Instance)) == 1


def ids(api: Api) -> list[str]:
    return [one.id for one in api.transact(lambda tx: tx.find(IdempotencyRecord))]


def test_signatures_are_kept_as_hashes_and_forgotten(api: Api, ec2: Ec2) -> None:
    """When they are too old, and long before the answers to idempotency keys that lie beside them."""
    api.transact(lambda tx: tx.insert(answer_to_a_key(tx.now())))
    put = ec2.signed(PUT)
    assert send(api, put).status_code == 200
    answer, signature = ids(api)
    assert signature.split()[-1] not in put.headers["Authorization"]
    later(api, 2 * MAX_SKEW_S - 5)
    api.run(forget_old_signatures(api.context))
    assert ids(api) == [answer, signature]
    later(api, 60)
    api.run(forget_old_signatures(api.context))
    assert ids(api) == [answer]
    later(api, ANSWER_KEPT_S)
    api.run(forget_old_answers(api.context))
    assert ids(api) == []


def test_what_is_kept_of_others_is_not_read_to_forget_signatures_nor_they_to_forget_that(api: Api) -> None:
    """However many there are."""
    answers = [answer_to_a_key(api.context_now(), f"{n:064x}") for n in range(2 * BATCH)]
    signatures = [replace(one, id=f"{SIGNED}{one.id}", status=0) for one in answers]
    api.transact(lambda tx: tx.insert(*answers, *signatures))
    counting = CountingStore(api.store)
    context = replace(api.context, store=counting)
    api.run(forget_old_answers(context))
    assert sum(counting.rows) <= 3 * BATCH
    counting.rows.clear()
    api.run(forget_old_signatures(context))
    assert sum(counting.rows) == 2 * BATCH
    assert len(ids(api)) == 2 * BATCH


def answer_to_a_key(at: datetime, id: str = "f" * 64) -> IdempotencyRecord:
    return IdempotencyRecord(id=id, request_sha256="", status=201, body="{}", created_at=at)
