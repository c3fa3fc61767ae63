"""What becomes of orders to stop, start and reboot."""

from __future__ import annotations

import pytest

from provisioner.core.model import Node, NodeRequest, RequestState
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2, later
from tests.unit.compute.fake_world import BMC
from tests.unit.records import instance, node

ID, ON = "01234567-89ab-4def-8123-000000000000", {"InstanceId.1": "i-0123456789ab4def8"}
SAID = f"set power off on BMC {BMC} of node n1: no answer in 10 s"


def runs(api: Api, power: PowerState = PowerState.ON) -> None:
    carried = node(state=ProvisionState.ACTIVE, power_state=power, instance_id=ID)
    one = instance(id=ID, state=InstanceState.ACTIVE, node_id=carried.id)
    api.transact(lambda tx: tx.insert(carried, one))


def ends(api: Api, state: RequestState, power: PowerState) -> None:
    """The pending orders, by their node's owner."""
    answered = {"state": state, "answer": SAID}
    for one in api.transact(lambda tx: tx.find(NodeRequest, where={"state": RequestState.PENDING})):
        api.transact(lambda tx, one=one: tx.update(NodeRequest, one.id, answered))
        api.transact(lambda tx, one=one: tx.update(Node, one.node_id, {"power_state": power}))


def reason(ec2: Ec2) -> str:
    found = ec2.read("DescribeInstances", **ON)["Reservations"][0]["Instances"][0]
    return str(found["StateTransitionReason"])


@pytest.mark.parametrize(
    ("action", "before", "told"),
    [
        ("StopInstances", PowerState.ON, "stopped"),
        ("StartInstances", PowerState.OFF, "started"),
        ("RebootInstances", PowerState.ON, "rebooted"),
    ],
)
def test_an_order_that_failed_is_told_until_another_is_given(
    api: Api, ec2: Ec2, action: str, before: PowerState, told: str
) -> None:
    operator = Ec2(api, role="operator")
    runs(api, before)
    assert reason(ec2) == ""
    ec2.read(action, **ON)
    assert reason(ec2) == ""
    ends(api, RequestState.FAILED, before)
    assert reason(ec2) == f"Server.InternalError: it couldn't be {told}: its operators are told why"
    assert reason(operator) == f"Server.InternalError: it couldn't be {told}: {SAID}"
    by_reason = {"Filter.1.Name": "reason", "Filter.1.Value.1": f"*{told}*"}
    assert ec2.read("DescribeInstances", **by_reason)["Reservations"]
    later(api, 1)
    ec2.read(action, **ON)
    assert reason(ec2) == ""
    ends(api, RequestState.DONE, before)
    assert reason(ec2) == ""
