"""RunInstances for boards without cloud-init: what their packet filter can't be made of is refused when it is
asked for, and not when the board has booted."""

from __future__ import annotations

from base64 import b64encode

import pytest

from provisioner.core.model import Instance
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2, code_of
from tests.unit.records import node


@pytest.fixture
def order(api: Api, ec2: Ec2) -> dict[str, str]:
    for kind in ("kernel", "root"):
        body = {"name": kind, "kind": kind, "arch": "tilepro64"}
        api.post("/v1/images", body | ({"kernel_id": "kernel"} if kind == "root" else {}), 201)
        api.call("PUT", f"/v1/images/{kind}/content", content=bytes(512)).raise_for_status()
    api.post("/v1/flavors", {"name": "small"}, 201)
    board = {"arch": "tilepro64", "boot_driver": "tilera", "deploy_driver": "nfs"}
    api.transact(lambda tx: tx.insert(node(state=ProvisionState.AVAILABLE, **board)))
    (root,) = ec2.read("DescribeImages", **{"Filter.1.Name": "name", "Filter.1.Value.1": "root"})["Images"]
    return {"ImageId": root["ImageId"], "InstanceType": "small", "MinCount": "1", "MaxCount": "1"}


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("-A INPUT -j DROP; reboot", "&#x27;DROP;&#x27; can&#x27;t stand in a rule"),
        ("-A INPUT -j `id`", "can&#x27;t stand in a rule"),
        ("-A INPUT -s <a>&amp;</a>", "&lt;a&gt;&amp;amp;&lt;/a&gt;"),
        ("-P INPUT DROP", "adds to none of the chains INPUT, OUTPUT, FORWARD"),
        ("-A NAT -j DROP", "adds to none of the chains"),
        ("-A INPUT -s \x07", "\\x07"),
        ("-A INPUT -j DROP\n" * 65, "65 rules are more than 64"),
        ("-A INPUT " + "$" * 9000, "…"),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_bad_rules_are_refused_and_nothing_is_made(
    api: Api, ec2: Ec2, order: dict[str, str], rules: str, told: str, dry: bool
) -> None:
    given = {**order, "UserData": encoded(f"#iptables\n{rules}"), **({"DryRun": "true"} if dry else {})}
    answer = ec2.call("RunInstances", **given)
    assert (answer.status_code, code_of(answer)) == (400, "InvalidParameterValue")
    assert "Invalid value for UserData: " in answer.text
    assert told in answer.text.replace("'", "&#x27;") and len(answer.text) < 1000
    assert api.transact(lambda tx: tx.count(Instance)) == 0


@pytest.mark.parametrize("text", ["#iptables\n-A INPUT -p tcp --dport 22 -j DROP\n", "anything; else\n", ""])
def test_good_rules_and_what_are_none_are_taken(ec2: Ec2, order: dict[str, str], text: str) -> None:
    made = ec2.read("RunInstances", **order, **({"UserData": encoded(text)} if text else {}))
    assert len(made["Instances"]) == 1
