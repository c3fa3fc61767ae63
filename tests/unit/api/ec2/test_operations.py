from __future__ import annotations

import pytest

from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.ec2.shapes import model
from tests.unit.api.ec2.conftest import Ec2, code_of


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_and_its_parameters_are_ec2s(name: str) -> None:
    known = {member.name for member in model().input(name).members}
    operation = OPERATIONS[name]
    assert "DryRun" in known
    assert operation.takes | operation.ignores <= known
    assert not operation.takes & operation.ignores
    # What a client must give has to mean something.
    assert model().input(name).required <= operation.takes


def test_an_operation_that_is_ec2s_and_not_ours_is_named(ec2: Ec2) -> None:
    answer = ec2.call("CreateVpc", CidrBlock="10.0.0.0/8")
    assert code_of(answer) == "UnsupportedOperation"
    assert "CreateVpc" in answer.text


@pytest.mark.parametrize(("action", "code"), [("Nonsense", "InvalidAction"), ("", "MissingAction")])
def test_an_operation_that_is_nobodys_is_refused(ec2: Ec2, action: str, code: str) -> None:
    assert ec2.refused(action) == code


def test_another_version_is_refused(ec2: Ec2) -> None:
    assert ec2.refused("DescribeRegions", Version="2009-04-04") == "NoSuchVersion"


def test_a_dry_run_says_that_it_would_have_been_done(ec2: Ec2) -> None:
    answer = ec2.call("DescribeRegions", DryRun="true")
    assert (answer.status_code, code_of(answer)) == (412, "DryRunOperation")


def test_a_defect_is_told_as_ec2_tells_it(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioner.api.ec2.endpoint.decode", lambda body: {"Action": 1 / 0})
    answer = ec2.call("DescribeRegions")
    assert (answer.status_code, code_of(answer)) == (500, "InternalError")
    assert "ZeroDivision" not in answer.text


def test_answers_name_their_request(ec2: Ec2) -> None:
    answer = ec2.call("DescribeRegions")
    assert f"<requestId>{answer.headers['x-amzn-requestid']}</requestId>" in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_requests_are_posted(ec2: Ec2, method: str) -> None:
    assert ec2.api.call(method, "/ec2").status_code == 405
