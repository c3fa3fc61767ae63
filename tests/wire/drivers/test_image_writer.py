"""Images written to a disk that the agent's target daemon exports."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provisioner.agent.job import Job
from provisioner.agent.tgtd import Tgtd
from provisioner.core.errors import PermanentError, TransientError
from provisioner.drivers import image_writer
from provisioner.drivers.image_writer import QemuImageWriter
from provisioner.protocols.image import DiskTarget
from provisioner.services.children import SystemChildren
from tests.wire.services.segment import Segment, children_of, segment

pytestmark = pytest.mark.wire

DEADLINE_S = 60.0
MIB = 2**20
DISK_MIB, IMAGE_MIB, DATA_MIB, OFFSET_MIB = 64, 48, 6, 1
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def network() -> Iterator[Segment]:
    """The target's port is a fixed one: each module has it to itself in a namespace."""
    with segment() as made:
        yield made


@dataclass
class Exported:
    """A disk full of an earlier tenant's bytes, exported."""

    disk: Path
    target: DiskTarget
    daemon: Tgtd

    def content(self) -> bytes:
        return self.disk.read_bytes()[OFFSET_MIB * MIB : (OFFSET_MIB + IMAGE_MIB) * MIB]


@contextmanager
def exporting(folder: Path) -> Iterator[Exported]:
    disk = folder / "disk"
    disk.write_bytes(b"\xaa" * (DISK_MIB * MIB))
    iqn = "iqn.2026-11.provisioner:node.1.1"
    daemon = Tgtd(Job(), folder, 3260)
    try:
        daemon.new_target(iqn)
        daemon.new_unit(str(disk), 1, thin=True)
        daemon.require_chap("provisioner", SECRET)
        daemon.admit("ALL")
        target = DiskTarget(
            address="127.0.0.1", port=3260, iqn=iqn, lun=1, chap_user="provisioner", chap_password=SECRET
        )
        yield Exported(disk, target, daemon)
    finally:
        daemon.kill()


@pytest.fixture
def exported(network: Segment, tmp_path: Path) -> Iterator[Exported]:
    with exporting(tmp_path) as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Some data in a sea of zeros."""
    path = tmp_path / "image.raw"
    with path.open("wb") as file:
        file.write(os.urandom(DATA_MIB * MIB))
        file.truncate(IMAGE_MIB * MIB)
    return path


def qcow2_of(image: Path) -> Path:
    path = image.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(image), str(path)], check=True)
    return path


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await story()

    asyncio.run(bounded())


def slow_qemu_img(folder: Path) -> str:
    """Takes ten seconds for the image, piece by piece, since what it says is done is what it has read: who
    hears of that late is midway all the same."""
    program = folder / "slow-qemu-img"
    program.write_text(f'#!/bin/sh\nexec qemu-img "$@" -m 1 -r {IMAGE_MIB * MIB // 10}\n')
    program.chmod(0o755)
    return str(program)


def write(
    source: Path,
    target: DiskTarget,
    *,
    format: str = "raw",
    offset_mib: int = OFFSET_MIB,
    size_mib: int = IMAGE_MIB,
    progress: Callable[[float], None] = lambda done: None,
    program: str = "qemu-img",
) -> Awaitable[None]:
    return QemuImageWriter(SystemChildren(), program).write(
        source,
        format=format,
        target=target,
        offset_bytes=offset_mib * MIB,
        size_bytes=size_mib * MIB,
        progress=progress,
    )


def received_bytes() -> int:
    """By the loopback interface of this namespace."""
    (line,) = [
        line
        for line in Path("/proc/thread-self/net/dev").read_text().splitlines()
        if line.strip().startswith("lo:")
    ]
    return int(line.split(":")[1].split()[0])


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_the_disk_holds_the_image_where_it_belongs_and_zeros_are_not_sent(
    exported: Exported, image: Path, format: str
) -> None:
    source = qcow2_of(image) if format == "qcow2" else image
    seen: list[float] = []
    before = received_bytes()
    play(lambda: write(source, exported.target, format=format, progress=seen.append))
    sent = received_bytes() - before
    assert exported.content() == image.read_bytes()
    whole = exported.disk.read_bytes()
    assert set(whole[: OFFSET_MIB * MIB]) == set(whole[(OFFSET_MIB + IMAGE_MIB) * MIB :]) == {0xAA}
    assert DATA_MIB * MIB < sent < (DATA_MIB + 2) * MIB
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_writing_twice_does_no_harm(exported: Exported, image: Path) -> None:
    for _ in range(2):
        play(lambda: write(image, exported.target))
        assert exported.content() == image.read_bytes()


@pytest.mark.parametrize("change", [{"chap_password": "f" * 32}, {"iqn": "iqn.2026-11.provisioner:node.1.2"}])
def test_a_writer_of_another_export_is_shut_out(
    exported: Exported, image: Path, change: dict[str, str]
) -> None:
    before = exported.disk.read_bytes()
    with pytest.raises(TransientError, match="shut out by a newer export") as caught:
        play(lambda: write(image, replace(exported.target, **change)))  # type: ignore[arg-type]
    assert exported.disk.read_bytes() == before
    assert SECRET not in str(caught.value)


def test_a_disk_that_is_too_small_is_told_of_and_left_alone(exported: Exported, image: Path) -> None:
    before = exported.disk.read_bytes()
    with pytest.raises(PermanentError, match="too small for the image"):
        play(lambda: write(image, exported.target, offset_mib=DISK_MIB - IMAGE_MIB + 1))
    assert exported.disk.read_bytes() == before


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_an_image_that_cannot_be_read_is_told_of(exported: Exported, tmp_path: Path, format: str) -> None:
    broken = tmp_path / "broken"
    if format == "qcow2":
        broken.write_bytes(b"not a qcow2 image")
    with pytest.raises(PermanentError, match="the image can't be read"):
        play(lambda: write(broken, exported.target, format=format))


def test_a_target_that_is_not_there_may_come_back(network: Segment, exported: Exported, image: Path) -> None:
    exported.daemon.kill()
    with pytest.raises(TransientError, match="can't be reached"):
        play(lambda: write(image, exported.target))


def test_a_connection_that_is_lost_for_good_ends_the_writing(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """qemu-img by itself would try to connect for ever."""
    monkeypatch.setattr(image_writer, "WATCH_S", 0.2)
    source = tmp_path / "image.raw"
    source.write_bytes(os.urandom(IMAGE_MIB * MIB))
    midway = asyncio.Event()

    def stop_the_daemon(done: float) -> None:
        if 0 < done < 1 and not midway.is_set():
            os.kill(exported.daemon._child.pid, signal.SIGSTOP)
            monkeypatch.setattr(image_writer, "SILENCE_S", 2.0)
            midway.set()

    async def story() -> None:
        program = slow_qemu_img(tmp_path)
        writing = asyncio.ensure_future(
            write(source, exported.target, progress=stop_the_daemon, program=program)
        )
        await midway.wait()
        exported.daemon.kill()
        with pytest.raises(TransientError, match="connection was lost, and not made again in 2 s"):
            await writing
        assert children_of(os.getpid()) == []

    play(story)


def test_the_secret_stands_in_no_command_line_and_no_environment(exported: Exported, image: Path) -> None:
    seen: list[bytes] = []

    async def story() -> None:
        os.kill(exported.daemon._child.pid, signal.SIGSTOP)  # it holds the login up
        writing = asyncio.ensure_future(write(image, exported.target))
        while not connections(3260):
            await asyncio.sleep(0.01)
        seen.extend(words_of_children())
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    play(story)
    assert any(words.startswith(b"qemu-img\0") for words in seen)
    assert not [words for words in seen if SECRET.encode() in words]


def test_a_cancelled_write_goes_no_further(exported: Exported, tmp_path: Path) -> None:
    source = tmp_path / "image.raw"
    source.write_bytes(os.urandom(IMAGE_MIB * MIB))

    async def story() -> None:
        begun = asyncio.Event()
        program = slow_qemu_img(tmp_path)
        writing = asyncio.ensure_future(
            write(source, exported.target, progress=lambda done: begun.set(), program=program)
        )
        await begun.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert not [words for words in words_of_children() if words.startswith(b"qemu-img")]
        assert not connections(3260)

    play(story)


def connections(port: int) -> int:
    """TCP connections to `port` in this namespace that are established."""
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(1 for field in fields if field[2].endswith(f":{port:04X}") and field[3] == "01")


def words_of_children() -> list[bytes]:
    """Command line and environment of our children."""
    folders = [Path(f"/proc/{pid}") for pid in children_of(os.getpid())]
    return [
        folder.joinpath("cmdline").read_bytes() + folder.joinpath("environ").read_bytes()
        for folder in folders
    ]
