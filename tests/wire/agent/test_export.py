"""A disk is exported to one initiator with one secret, and to nobody else any more once withdrawn."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.core.image_digest import TreeDigest
from tests.agent_peer import CommandFailed
from tests.ports import free_port
from tests.wire.agent.conftest import MakeDisk, RealAgent
from tests.wire.agent.initiator import SECRET, export_params, relay, write, write_argv

pytestmark = pytest.mark.wire

IQN = "iqn.2026-11.provisioner:n1.1.1"
MIB = 2**20
DEADLINE_S = 20.0


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def image(folder: Path, mib: int, data: dict[int, bytes]) -> tuple[Path, str]:
    """A qcow2 image with data at some MiBs and holes elsewhere, and the digest of its raw content."""
    raw, path = folder / "image.raw", folder / "image.qcow2"
    with raw.open("wb") as file:
        file.truncate(mib * MIB)
        for at, content in data.items():
            file.seek(at * MIB)
            file.write(content)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], check=True)
    digest = TreeDigest()
    digest.update(raw.read_bytes())
    return path, digest.hexdigest()


def test_an_image_is_written_without_its_holes_and_reads_back_with_them(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, secret_file: Path
) -> None:
    disk = make_disk(300, garbage=True)
    path, digest = image(tmp_path, 256, {0: os.urandom(MIB), 100: os.urandom(7 * MIB), 255: os.urandom(MIB)})
    port = free_port()
    result = agent.peer.run("export_disk", **export_params(disk.device, IQN, port))
    assert (result["portal_port"], result["iqn"], result["lun"], result["thin"]) == (port, IQN, 1, True)
    with relay(port) as wire:
        done = write(write_argv(path, wire.port, IQN, secret_file, size=256 * MIB, offset=MIB))
    assert done.returncode == 0, done.stderr
    assert 9 * MIB < wire.sent_bytes < 10 * MIB, "only the data crosses the wire"
    agent.peer.run("withdraw_disk")
    read = agent.peer.run("checksum_disk", device=disk.device, offset_bytes=MIB, size_bytes=256 * MIB)
    assert read == {"tree_digest": digest}
    assert any(disk.content(258 * MIB, MIB)), "what lies behind the image is not touched"


def test_a_disk_zeroed_beforehand_needs_no_zeros_from_the_initiator(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, secret_file: Path
) -> None:
    disk = make_disk(100, garbage=True)
    path, digest = image(tmp_path, 64, {10: os.urandom(2 * MIB)})
    port = free_port()
    params = export_params(disk.device, IQN, port, zero_offset_bytes=MIB, zero_size_bytes=64 * MIB)
    assert agent.peer.run("export_disk", **params)["zeroed"] is True
    with relay(port) as wire:
        options = ["--target-is-zero"]
        argv = write_argv(path, wire.port, IQN, secret_file, size=64 * MIB, offset=MIB, options=options)
        done = write(argv)
    assert done.returncode == 0, done.stderr
    assert wire.sent_bytes < 2.5 * MIB
    agent.peer.run("withdraw_disk")
    read = agent.peer.run("checksum_disk", device=disk.device, offset_bytes=MIB, size_bytes=64 * MIB)
    assert read == {"tree_digest": digest}
    assert any(disk.content(0, MIB)) and any(disk.content(65 * MIB, MIB))


def test_a_wrong_secret_is_refused(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, secret_file: Path
) -> None:
    disk = make_disk(32)
    path, _ = image(tmp_path, 8, {0: os.urandom(MIB)})
    port = free_port()
    agent.peer.run("export_disk", **export_params(disk.device, IQN, port))
    secret_file.write_text("wrong-horse-battery")
    done = write(write_argv(path, port, IQN, secret_file, size=8 * MIB))
    assert done.returncode != 0 and "uthentication" in done.stderr
    agent.peer.run("withdraw_disk")
    assert not any(disk.content())


def test_another_initiator_is_refused(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, secret_file: Path
) -> None:
    disk = make_disk(32)
    path, _ = image(tmp_path, 8, {0: os.urandom(MIB)})
    port = free_port()
    agent.peer.run("export_disk", **export_params(disk.device, IQN, port, initiator_address="127.0.0.99"))
    done = write(write_argv(path, port, IQN, secret_file, size=8 * MIB))
    assert done.returncode != 0
    agent.peer.run("withdraw_disk")
    assert not any(disk.content())


@pytest.mark.parametrize("by", ["the same owner's next attempt", "a newer owner", "a withdrawal"])
def test_a_stale_writer_is_shut_out_in_mid_write(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, secret_file: Path, by: str
) -> None:
    disk = make_disk(80)
    path, _ = image(tmp_path, 64, {0: os.urandom(64 * MIB)})
    port = free_port()
    agent.peer.run("export_disk", **export_params(disk.device, IQN, port))
    argv = write_argv(path, port, IQN, secret_file, size=64 * MIB, options=["-r", "2M"])
    stale = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any(first_bytes(disk.device)), "the stale writer's first bytes")
        if by == "the same owner's next attempt":
            agent.peer.run("export_disk", **export_params(disk.device, f"{IQN}.next", port))
        elif by == "a newer owner":
            agent.peer.fence += 1
            agent.peer.run("inventory")
        else:
            agent.peer.run("withdraw_disk")
        agent.peer.run("wipe", devices=[disk.device], mode="full")
        assert stale.poll() is None, "it still tries"
        with contextlib.suppress(subprocess.TimeoutExpired):
            stale.wait(timeout=2)
        flush(disk.device)
        assert not any(disk.content()), "and reaches the disk no more"
    finally:
        stale.kill()
        stale.wait()


def test_nobody_listens_after_a_withdrawal(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk, port = make_disk(32), free_port()
    agent.peer.run("export_disk", **export_params(disk.device, IQN, port))
    socket.create_connection(("127.0.0.1", port)).close()
    for _ in range(2):
        assert agent.peer.run("withdraw_disk") == {}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_secret_is_in_no_command_line_environment_or_message(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk, port = make_disk(32), free_port()
    agent.peer.run("export_disk", **export_params(disk.device, IQN, port))
    seen = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command_line = (process / "cmdline").read_bytes()
            assert SECRET.encode() not in command_line + (process / "environ").read_bytes()
            seen += f"portal=0.0.0.0:{port}".encode() in command_line
    assert seen == 1
    assert SECRET not in "".join(agent.said)
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.rglob("log"))
    status, problem = agent.peer.give("export_disk", export_params("/dev/x y", IQN, port))
    assert status == 400 and SECRET not in str(problem)


def test_a_port_that_is_taken_is_told(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(32)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandFailed, match=f"export-failed: .*{port}"):
            agent.peer.run("export_disk", **export_params(disk.device, IQN, port))
    agent.peer.run("export_disk", **export_params(disk.device, IQN, free_port()))


@pytest.mark.parametrize(
    ("device", "code"), [("/dev/nosuchdisk", "disk-missing"), ("/dev/null", "not-a-disk")]
)
def test_what_is_no_disk_is_not_exported(agent: RealAgent, device: str, code: str) -> None:
    with pytest.raises(CommandFailed, match=code):
        agent.peer.run("export_disk", **export_params(device, IQN, free_port()))


def test_the_export_dies_with_the_agent(make_disk: MakeDisk, tmp_path: Path) -> None:
    disk, port = make_disk(32), free_port()
    story = (
        "import sys; from pathlib import Path\n"
        "from provisioner.agent.job import Job; from provisioner.agent.tgtd import Tgtd\n"
        f"Tgtd(Job(), Path({str(tmp_path)!r}), {port}).new_target({IQN!r}); print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", story]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None and agent.stdout.readline() == b"up\n"
        socket.create_connection(("127.0.0.1", port)).close()
        agent.send_signal(signal.SIGKILL)
    wait_until(lambda: refuses(port), "the end of the export")
    assert disk.file.exists()


def flush(device: str) -> None:
    """What was written to it is on its medium then."""
    fd = os.open(device, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def first_bytes(device: str) -> bytes:
    with Path(device).open("rb") as file:
        return file.read(MIB)


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {DEADLINE_S} s"
        threading.Event().wait(0.02)
