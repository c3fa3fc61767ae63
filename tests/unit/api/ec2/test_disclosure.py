from __future__ import annotations

from provisioner.core.failures import FAILURES
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.api.test_disclosure import lost
from tests.unit.compute.fake_world import BMC


def test_ec2_tells_operators_alone_which_device_failed_and_finds_nothing_by_it(api: Api, ec2: Ec2) -> None:
    user, operator = Ec2(api, "blue"), Ec2(api, "blue", "operator")
    lost(api)
    by_address = {"Filter.1.Name": "state-reason-message", "Filter.1.Value.1": f"*{BMC}*"}
    assert not user.read("DescribeInstances", **by_address)["Reservations"]
    assert operator.read("DescribeInstances", **by_address)["Reservations"]
    reason = user.read("DescribeInstances")["Reservations"][0]["Instances"][0]["StateReason"]
    assert reason["Code"] == "pending", "it waits for another node: nothing of it has failed"
    assert (
        reason["Message"] == f"node n1 failed: {FAILURES['device-unreachable'].happened}. It is given another"
    )
