"""An order that is repeated with its ClientToken, long after."""

from __future__ import annotations

from typing import Any

from provisioner.api.housekeeping import ANSWER_KEPT_S, ROUND_S
from provisioner.api.timeline_pruning import INSTANCES_KEPT_S, TimelinePolicy, TimelinePruning
from provisioner.core.model import Instance
from provisioner.core.states import InstanceState, ProvisionState
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2, later
from tests.unit.api.ec2.test_operations import root_image
from tests.unit.records import node

SHORTEST = TimelinePolicy(keep_s=24 * 3600.0)
"""That may be configured."""


def ordered(api: Api, ec2: Ec2) -> tuple[dict[str, str], Any]:
    """What was asked for, and the answer. Its instance is deleted by now."""
    api.register_images()
    api.transact(lambda tx: tx.insert(node(id="0" * 8, state=ProvisionState.AVAILABLE)))
    order = {"ImageId": root_image(ec2), "InstanceType": "small", "MinCount": "1", "MaxCount": "1"}
    order["ClientToken"] = "t"
    answer = ec2.read("RunInstances", **order)
    ec2.read("TerminateInstances", **{"InstanceId.1": answer["Instances"][0]["InstanceId"]})
    assert api.transact(lambda tx: tx.find(Instance))[0].state is InstanceState.DELETED
    return order, answer


def prune(api: Api, after_s: float) -> None:
    """Requests are signed with the system's time, so that of the store is put back."""
    later(api, after_s)
    api.run(TimelinePruning(api.store, api.context.clock, SHORTEST).prune())
    later(api, -after_s)


def test_what_a_token_made_is_known_as_long_as_the_token(api: Api, ec2: Ec2) -> None:
    order, answer = ordered(api, ec2)
    prune(api, ANSWER_KEPT_S + ROUND_S)
    again = ec2.read("RunInstances", **order)
    assert again["Instances"][0]["ClientToken"] == "t"
    assert again["ReservationId"] == answer["ReservationId"]
    assert again["Instances"][0]["State"]["Name"] == "terminated"


def test_a_token_that_nobody_had_the_time_to_forget_is_a_new_one(api: Api, ec2: Ec2) -> None:
    order, answer = ordered(api, ec2)
    prune(api, INSTANCES_KEPT_S + 1)
    new = ec2.read("RunInstances", **order)
    assert new["ReservationId"] != answer["ReservationId"]
    assert ec2.read("RunInstances", **order)["ReservationId"] == new["ReservationId"]
