"""What the page for newcomers tells them to type, typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from provisioner.api.ec2.operations import OPERATIONS
from tests.wire.ec2.conftest import AWS, WAITING, Place, release

pytestmark = pytest.mark.wire
PAGE = (Path(__file__).parents[3] / "docs" / "ec2.md").read_text()


def blocks(begin: str, end: str) -> list[str]:
    """What is indented in this part of the page, each block by itself."""
    part = PAGE.split(begin)[1].split(end)[0]
    found = re.findall(r"(?:^ {4,}\S.*\n|^\n(?= {4,}\S))+", part, re.MULTILINE)
    return [re.sub(r"^ {4}(?: {3})?", "", block, flags=re.MULTILINE) for block in found]


def test_what_a_newcomer_types_works_as_written(place: Place) -> None:
    before = place.service.json("image", "list")
    session = place.session()
    credentials = session.get_credentials()
    assert credentials is not None
    home = place.service.folder / "home"
    (home / ".ssh").mkdir(parents=True)
    key = str(home / ".ssh" / "id_ed25519")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    environment = {
        "PATH": f"{Path(AWS).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_DEFAULT_REGION": "metal",
        "AWS_ENDPOINT_URL_EC2": place.url,
        "AWS_PAGER": "",
    }

    def typed(text: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", text], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, (text, done.stderr)
        return done.stdout

    said = "".join(blocks("1. An access key", "## What there is"))
    # The shell's own lines; `export` is in the environment, and the first command made the key.
    commands = [line for line in re.sub(r"\\\n", " ", said).splitlines() if line.startswith("aws ")]
    assert [re.sub(r"aws ec2 ([a-z-]+).*", r"\1", line) for line in commands] == [
        *("describe-instance-types", "describe-images", "import-key-pair", "run-instances", "wait"),
        *("describe-instances", "terminate-instances"),
    ]
    names = {"ami-…": "", "i-…": ""}
    for line in commands:
        for name, meant in names.items():
            line = line.replace(name, meant or name)
        told = typed(line)
        if "describe-images" in line:
            names["ami-…"] = json.loads(told)[0][0]
        if "run-instances" in line:
            names["i-…"] = json.loads(told)["Instances"][0]["InstanceId"]
        if "describe-instances" in line:
            assert json.loads(told)[0].startswith("10.0.1.")
    client = place.client(session)
    ids = [names["i-…"]]
    client.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=WAITING)

    (program,) = (block for block in blocks("The same from Python", "## What there is") if "boto3" in block)
    program = program.replace("ami-…", names["ami-…"]).replace("http://127.0.0.1:8776/ec2", place.url)
    python = str(Path(AWS).parent / "python")
    subprocess.run([python, "-c", program], env=environment, check=True, timeout=120)
    release(client)
    client.delete_key_pair(KeyName="me")
    assert place.service.json("image", "list") == before


def test_every_operation_is_listed() -> None:
    listed = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE.split("## What there is")[1]))
    assert set(OPERATIONS) <= listed
