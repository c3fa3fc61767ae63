from __future__ import annotations

from provisioner.api.limits import LimitPolicy, Limits
from tests.unit.api.ec2.conftest import Ec2, code_of


def test_who_asks_for_too_much_is_told_so_as_ec2_does(ec2: Ec2) -> None:
    ec2.api.context.limits = Limits(LimitPolicy(requests_per_s=0.001, request_burst=2))
    assert [ec2.call("DescribeImages").status_code for _ in range(2)] == [200, 200]
    told = ec2.call("DescribeImages")
    assert (told.status_code, code_of(told)) == (503, "RequestLimitExceeded")
    assert Ec2(ec2.api).call("DescribeImages").status_code == 200


def test_wrong_signatures_are_counted_and_keys_that_are_known_go_on(ec2: Ec2) -> None:
    assert ec2.call("DescribeImages").status_code == 200
    ec2.api.context.limits = Limits(LimitPolicy(failures_per_minute=2))
    right, ec2.secret = ec2.secret, "wrong"
    codes = [code_of(ec2.call("DescribeImages")) for _ in range(3)]
    assert codes == ["SignatureDoesNotMatch"] * 2 + ["RequestLimitExceeded"]
    ec2.secret = right
    assert ec2.call("DescribeImages").status_code == 200
    ec2.id = "AKIA0000000000000000"
    assert code_of(ec2.call("DescribeImages")) == "RequestLimitExceeded"


def test_the_size_of_a_body_is_as_configured(ec2: Ec2) -> None:
    ec2.api.context.limits = Limits(LimitPolicy(body_bytes=65_536))
    assert ec2.call("DescribeImages", ImageId="a" * 65_536).status_code == 413
