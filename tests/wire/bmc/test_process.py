"""A BMC's process: one each, ended with its rack, small."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.bmsim.bmc import DEADLINE_S, Bmc, eventually, running_bmc
from tests.ports import free_port

pytestmark = pytest.mark.wire

MAX_OWN_KIB = 40 * 1024

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "bmsim.faces.bmc_process"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdin.write(sys.stdin.read())
child.stdin.close()
assert child.stdout.readline() == "ready\\n"
print(child.pid, flush=True)
child.wait()
"""


def own_kib(pid: int) -> int:
    """Proportional set size: what ten of them take is ten times that."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("the kernel doesn't tell")


def configuration(folder: Path, port: int) -> str:
    names = {"audit": "audit.jsonl", "faults": "faults.json", "console": "c.sock", "console_log": "c.log"}
    bmc = {"node": "n1", "address": "127.0.0.1", "port": port, "user": "u", "password": "p"}
    machine = {"domain": "test", "libvirt_uri": "test:///default"}
    return json.dumps(bmc | machine | {key: str(folder / name) for key, name in names.items()})


def test_ten_bmcs_side_by_side_on_the_same_port_are_ten_machines(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        bmcs = [
            stack.enter_context(running_bmc(tmp_path / f"n{number}", f"127.0.1.{number}", port))
            for number in range(1, 11)
        ]
        for each in bmcs[::2]:
            assert each.power("off").code == 0
        assert [each.is_on() for each in bmcs] == [False, True] * 5
        assert max(own_kib(each.process.pid) for each in bmcs) <= MAX_OWN_KIB


def test_sigterm_ends_it_at_once_and_well(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as bmc:
        bmc.process.terminate()
        assert bmc.process.wait(DEADLINE_S) == 0


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(configuration(tmp_path, free_port()))
        parent.stdin.close()
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait(DEADLINE_S)

    def gone() -> bool:
        try:
            # A process that nobody reaps is gone too.
            return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while it is read
            return True

    eventually(gone, "the BMC is gone")


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as bmc:
        second = subprocess.run(
            [sys.executable, "-m", "bmsim.faces.bmc_process"],
            input=configuration(tmp_path, bmc.port),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert second.returncode == 1
    assert f"the BMC of n1 can't listen at 127.0.0.1:{bmc.port}" in second.stderr


def test_the_password_is_in_no_command_line_and_no_environment(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as bmc:
        for name in ("cmdline", "environ"):
            assert b"correct-horse" not in Path(f"/proc/{bmc.process.pid}/{name}").read_bytes()


def test_its_descriptors_dont_grow_with_sessions_and_consoles(tmp_path: Path) -> None:
    def descriptors(bmc: Bmc) -> int:
        return len(list(Path(f"/proc/{bmc.process.pid}/fd").iterdir()))

    with running_bmc(tmp_path) as bmc:
        bmc.power("status")
        before = descriptors(bmc)
        for _ in range(5):
            bmc.power("cycle")
            bmc.ipmitool("raw", "6", "0x48", "1", "1", "0xc0", "0", "0", "0")
            eventually(lambda: descriptors(bmc) == before, "what the session had open is closed")
        assert len(bmc.entries("sol.activate")) == 5
        assert all(entry.result == "ok" for entry in bmc.entries("sol.activate"))
