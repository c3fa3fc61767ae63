"""What the page for newcomers tells them to type, typed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from provisioner.api.ec2.operations import OPERATIONS
from tests.wire.cli.conftest import Service, serving
from tests.wire.ec2.conftest import port_of

pytestmark = pytest.mark.wire
PAGE = (Path(__file__).parents[3] / "docs" / "ec2.md").read_text()
MOST_S = 300


def blocks(begin: str, end: str) -> list[str]:
    """What is indented in this part of the page, each block by itself; not what files hold."""
    part = re.sub(r"^```.*?^```\n", "", PAGE.split(begin)[1].split(end)[0], flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"(?:^ {4,}\S.*\n|^\n(?= {4,}\S))+", part, re.MULTILINE)
    return [re.sub(r"^ {4}(?: {3})?", "", block, flags=re.MULTILINE) for block in found]


def file_of_the_page(name: str) -> str:
    (text,) = re.findall(rf"^```yaml\n# {re.escape(name)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.fixture
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Has written the files, and started the provisioner; its paths and ports are the test's own."""
    folder = tmp_path_factory.mktemp("n")
    settings = yaml.safe_load(file_of_the_page("provisioner.yaml"))

    with serving(folder, settings) as service:
        (folder / "nodes.yaml").write_text(file_of_the_page("nodes.yaml"))
        # The folder is a checkout's, as far as it matters: script/setup has been run there.
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / ".ssh").mkdir()
        key = str(folder / ".ssh" / "id_ed25519")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        yield service


def test_what_a_newcomer_types_works_as_written(newcomer: Service) -> None:
    url = f"http://127.0.0.1:{port_of(newcomer)}/ec2"
    environment = {
        "PATH": ":".join(set(os.get_exec_path()) - {str(Path(sys.executable).parent)}),
        "HOME": str(newcomer.folder),
        "AWS_PAGER": "",
    }
    said = blocks("## From zero", "The same from Python")
    (program,) = (block for block in blocks("The same from Python", "## What there is") if "boto3" in block)
    script = "\n".join((*said, "python - <<'END'", program, "END"))
    for done_already in ("script/setup\n", "provisioner serve > provisioner.log 2>&1 &\n"):
        assert done_already in script
        script = script.replace(done_already, "")
    script = script.replace("http://127.0.0.1:8776/ec2", url)
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        env=environment,
        cwd=newcomer.folder,
        capture_output=True,
        text=True,
        timeout=MOST_S,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert re.search(r"^ami-[0-9a-f]{17}\tmachine\ttry$", done.stdout, re.MULTILINE)
    assert re.search(r"^10\.0\.1\.\d+$", done.stdout, re.MULTILINE)
    ran = newcomer.json("instance", "list", "--deleted")
    assert sorted(one["state"] for one in ran) == ["active", "deleted"]

    *_, ending = blocks("The same from Python", "## What there is")
    ends, _, removes = ending.strip().partition("\n")
    assert ends == "kill %1; wait"
    assert newcomer.end(signal.SIGTERM) == 0
    subprocess.run(
        ["bash", "-e", "-c", removes.replace("/tmp/try", str(newcomer.state))],
        cwd=newcomer.folder,
        check=True,
    )
    assert {one.name for one in newcomer.folder.iterdir()} <= {".venv", ".ssh", ".aws", "serve.log"}, (
        "nothing but the checkout and what was the test's own"
    )


def test_every_operation_is_listed() -> None:
    listed = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE.split("## What there is")[1]))
    assert set(OPERATIONS) <= listed
