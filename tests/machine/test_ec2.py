"""The AWS command line, and a machine from its request to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.machine.commands import BIN, DEADLINES_S, CommandFailed, eventually
from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine


def aws(lab: Lab, *words: str, timeout_s: float = 120) -> Any:
    """On the compute host, where the API listens; the secret is in a file, as people have it."""
    credentials = lab.folder / "credentials"
    if not credentials.exists():
        made = lab.cli("access-key", "create")
        credentials.touch(0o600)
        credentials.write_text(
            f"[default]\naws_access_key_id = {made['id']}\naws_secret_access_key = {made['secret']}\n"
        )
    settings = {
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:8776/ec2",
        "AWS_DEFAULT_REGION": "metal",
        "AWS_PAGER": "",
    }
    told = [f"{name}={value}" for name, value in settings.items()]
    said = lab.execute("env", *told, str(BIN / "aws"), "ec2", *words, timeout_s=timeout_s)
    return json.loads(said) if said.strip() else None


def waited(lab: Lab, waiter: str, id: str, deadline: str) -> dict[str, Any]:
    """The instance, once `aws ec2 wait` has seen it as the waiter's name says."""

    def look() -> bool:
        lab.still_serving()
        try:
            aws(lab, "wait", waiter, "--instance-ids", id, timeout_s=DEADLINES_S["active"])
        except CommandFailed as error:
            # It asks forty times, every fifteen seconds, and can't be told to ask more often.
            if "Max attempts exceeded" in error.output:
                return False
            raise
        return True

    try:
        eventually(f"{id}: {waiter}", look, DEADLINES_S[deadline])
    except AssertionError as error:
        raise AssertionError(f"{error}\n{lab.timeline(id)}\n{lab.consoles()}") from None
    found: dict[str, Any] = aws(lab, "describe-instances", "--instance-ids", id)["Reservations"][0]
    instance: dict[str, Any] = found["Instances"][0]
    return instance


def listed(lab: Lab, *filters: str) -> list[str]:
    """The ids of the instances that all of these filters let through."""
    found = aws(lab, "describe-instances", "--filters", *filters)["Reservations"]
    return [one["InstanceId"] for reservation in found for one in reservation["Instances"]]


def answers(lab: Lab, address: str) -> str:
    """The id of the boot that it is in, as soon as its SSH server lets us in."""

    def look() -> str:
        try:
            return lab.ssh(address, "cat /proc/sys/kernel/random/boot_id").strip()
        except CommandFailed:
            return ""

    return eventually(f"{address} answers by SSH", look, DEADLINES_S["active"], 2)


# As root, at the first start: takes the route that DHCP tells, and asks over it. The image has no cloud-init.
USER_DATA = r"""#!/bin/sh
printf '#!/bin/sh\n[ "$1" = bound ] && set -- $staticroutes && ip route replace $1 via $2\n' > /run/routes
chmod 755 /run/routes
nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
udhcpc -n -q -i "$nic" -O staticroutes -s /run/routes
for path in meta-data/instance-id meta-data/public-keys/0/openssh-key user-data; do
    printf 'GET /latest/%s HTTP/1.0\r\nHost: metadata\r\n\r\n' $path | nc -w 5 169.254.169.254 80
    echo
done > /run/told.draft
mv /run/told.draft /run/told
"""


def serve_metadata(lab: Lab) -> None:
    """As the page for operators says it is done."""
    lab.stop()
    lab.execute("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    lab.settings["network"]["metadata"] = "v1_v2"
    lab.start()


def test_a_machine_is_run_tagged_stopped_started_rebooted_and_terminated(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(node())
    serve_metadata(lab)
    lab.ready("tiny")
    images = aws(lab, "describe-images", "--filters", "Name=image-type,Values=machine")["Images"]
    words = ("--image-id", images[0]["ImageId"], "--instance-type", "small", "--key-name", "me")
    tags = "ResourceType=instance,Tags=[{Key=Name,Value=web-1}]"
    made = aws(lab, "run-instances", *words, "--user-data", USER_DATA, "--tag-specifications", tags)
    id = made["Instances"][0]["InstanceId"]
    assert listed(lab, "Name=tag:Name,Values=web-*", "Name=instance-state-name,Values=pending") == [id]
    running = waited(lab, "instance-running", id, "active")
    waited(lab, "instance-status-ok", id, "step")
    assert running["Tags"] == [{"Key": "Name", "Value": "web-1"}]
    address = running["PrivateIpAddress"]
    assert lab.ssh(address, "hostname").strip() == id
    first = answers(lab, address)
    told = eventually(
        "it asks for its metadata",
        lambda: lab.ssh(address, "cat /run/told 2> /dev/null || true"),
        DEADLINES_S["step"],
        2,
    )
    assert f"\n\n{id}\n" in told
    assert lab.key.with_suffix(".pub").read_text().split()[1] in told
    assert told.rstrip().endswith(USER_DATA.rstrip())

    aws(lab, "create-tags", "--resources", id, "--tags", "Key=stage,Value=proof")
    aws(lab, "stop-instances", "--instance-ids", id)
    waited(lab, "instance-stopped", id, "step")
    stopped = ("Name=instance-state-name,Values=stopped", f"Name=private-ip-address,Values={address}")
    assert listed(lab, "Name=tag:stage,Values=proof", *stopped) == [id]
    assert listed(lab, "Name=tag:stage,Values=other", *stopped) == []
    assert lab.node()["power_state"] == "off"
    aws(lab, "start-instances", "--instance-ids", id)
    waited(lab, "instance-running", id, "step")
    aws(lab, "delete-tags", "--resources", id, "--tags", "Key=stage")
    assert listed(lab, "Name=tag-key,Values=stage") == []
    second = answers(lab, address)
    aws(lab, "reboot-instances", "--instance-ids", id)
    third = eventually(
        "it boots again",
        lambda: found if (found := answers(lab, address)) != second else None,
        DEADLINES_S["active"],
    )
    assert len({first, second, third}) == 3
    said = aws(lab, "get-console-output", "--instance-id", id)["Output"]
    assert "Linux version" in said

    aws(lab, "terminate-instances", "--instance-ids", id)
    waited(lab, "instance-terminated", id, "deleted")
    lab.node_becomes("available", deadline="deleted")
    assert not any(Path(lab.disk("n1")).read_bytes()[: 2**20])
    (secret,) = [
        line.split(" = ")[1]
        for line in (lab.folder / "credentials").read_text().splitlines()
        if line.startswith("aws_secret")
    ]
    assert secret not in lab.log()
