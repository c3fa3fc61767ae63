from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import (
    ImageInvalid,
    InvalidInput,
    NotFound,
    PermanentError,
    StorageFull,
    TransientError,
)
from provisioner.core.image_digest import TreeDigest
from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from provisioner.services.image_store import ImageStore

MIB = 2**20
ROOT = Path(__file__).parents[3]


def disk(size_mib: int = 24) -> bytes:
    """Raw content with data, holes and a part that is not a whole chunk."""
    noise = random.Random(size_mib)
    content = bytearray(size_mib * MIB + 512)
    for start in (0, 5 * MIB, (size_mib - 1) * MIB):
        content[start : start + 300_000] = noise.randbytes(300_000)
    content[-7:] = b"the end"
    return bytes(content)


def digest(raw: bytes) -> str:
    tree = TreeDigest()
    tree.update(raw)
    return tree.hexdigest()


def qcow2(folder: Path, raw: bytes, *options: str) -> bytes:
    (folder / "source.raw").write_bytes(raw)
    command = ["qemu-img", "convert", "-q", "-O", "qcow2", *options, "source.raw", "made.qcow2"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "made.qcow2").read_bytes()


async def pieces(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


async def save(store: ImageStore, content: bytes, **options: Any) -> StoredImage:
    given: dict[str, Any] = {"format": "raw", "kind": ImageKind.DISK, "expected_sha256": None}
    return await store.save(pieces(content), **{**given, "max_bytes": 100 * MIB, **options})


def files(store_root: Path) -> list[Path]:
    return [path for path in store_root.rglob("*") if path.is_file()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> ImageStore:
    return ImageStore(root)


def test_raw_bytes_are_stored_under_their_sha256(store: ImageStore) -> None:
    raw = disk()
    sha256 = hashlib.sha256(raw).hexdigest()
    stored = asyncio.run(save(store, raw, expected_sha256=sha256.upper()))
    assert stored == StoredImage(
        sha256=sha256, size_bytes=len(raw), virtual_size_bytes=len(raw), tree_digest=digest(raw)
    )
    assert store.path(sha256).read_bytes() == raw


def test_zeros_take_no_room_on_the_disk(store: ImageStore) -> None:
    raw = disk(64)
    stored = asyncio.run(save(store, raw))
    path = store.path(stored.sha256)
    assert path.read_bytes() == raw
    assert path.stat().st_blocks * 512 < 2 * MIB


@pytest.mark.parametrize("options", [(), ("-c",), ("-o", "compat=0.10"), ("-o", "cluster_size=2M")], ids=str)
def test_qcow2_is_stored_as_it_is_and_known_by_its_raw_content(
    store: ImageStore, root: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    raw = disk()
    packed = qcow2(tmp_path, raw, *options)
    stored = asyncio.run(save(store, packed, format="qcow2"))
    assert stored.virtual_size_bytes == len(raw)
    assert stored.tree_digest == digest(raw)
    assert [path.read_bytes() for path in files(root)] == [packed]


def test_an_empty_disk_is_digested_without_reading_it(store: ImageStore, tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "x", "200G"], check=True)
    stored = asyncio.run(save(store, (tmp_path / "x").read_bytes(), format="qcow2"))
    assert stored.virtual_size_bytes == 200 * 2**30


@pytest.mark.parametrize("kind", [ImageKind.KERNEL, ImageKind.RAMDISK])
def test_kernels_and_ramdisks_are_kept_whatever_they_are(store: ImageStore, kind: ImageKind) -> None:
    content = b"\x1f\x8b a packed ramdisk of an odd length"
    stored = asyncio.run(save(store, content, kind=kind))
    assert store.path(stored.sha256).read_bytes() == content


def test_the_same_bytes_are_stored_once_even_at_the_same_time(store: ImageStore, root: Path) -> None:
    async def story() -> list[StoredImage]:
        return list(await asyncio.gather(*(save(store, disk()) for _ in range(4))))

    first, *others = asyncio.run(story())
    assert others == [first] * 3
    assert len(files(root)) == 1


def test_a_wrong_checksum_names_both_and_stores_nothing(store: ImageStore, root: Path) -> None:
    raw = disk()
    with pytest.raises(ImageInvalid) as raised:
        asyncio.run(save(store, raw, expected_sha256="0" * 64))
    assert hashlib.sha256(raw).hexdigest() in raised.value.answer
    assert "0" * 64 in raised.value.answer
    assert files(root) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-u", "-b", "/etc/passwd", "-F", "raw"), "backing file"),
        (("-o", "data_file=data"), "another file"),
    ],
)
def test_qcow2_that_is_not_whole_in_itself_is_refused(
    store: ImageStore, root: Path, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, "made.qcow2", "8M"]
    subprocess.run(command, check=True, cwd=tmp_path)
    with pytest.raises(ImageInvalid, match=complaint):
        asyncio.run(save(store, (tmp_path / "made.qcow2").read_bytes(), format="qcow2"))
    assert files(root) == []


def damaged(folder: Path, how: str) -> tuple[bytes, str]:
    packed = qcow2(folder, disk())
    match how:
        case "raw named qcow2":
            return disk(), "qcow2"
        case "qcow2 named raw":
            return packed, "raw"
        case "packed":
            return b"\xfd7zXZ\0" + packed, "qcow2"
        case "cut qcow2":
            return packed[: len(packed) // 2], "qcow2"
        case "cut raw":
            return disk()[:-100], "raw"
        case "tables overwritten":
            return packed[:65_536] + random.Random(1).randbytes(3 * 65_536) + packed[4 * 65_536 :], "qcow2"
        case _:
            return b"", "raw"


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("raw named qcow2", "no qcow2 header"),
        ("qcow2 named raw", "it is qcow2"),
        ("packed", "compressed with xz"),
        ("cut qcow2", "cut off after|qemu-img check"),
        ("cut raw", "whole sectors"),
        ("tables overwritten", "qemu-img"),
        ("nothing", "empty"),
    ],
)
def test_bytes_that_are_not_what_they_are_said_to_be_are_refused(
    store: ImageStore, root: Path, tmp_path: Path, how: str, complaint: str
) -> None:
    content, format = damaged(tmp_path, how)
    with pytest.raises(ImageInvalid, match=complaint):
        asyncio.run(save(store, content, format=format))
    assert files(root) == []


def test_a_stream_that_ends_early_is_refused(store: ImageStore, root: Path) -> None:
    with pytest.raises(ImageInvalid, match=r"cut off after 1048576 of 2097152 bytes"):
        asyncio.run(save(store, bytes(MIB), size_bytes=2 * MIB))
    assert files(root) == []


@pytest.mark.parametrize("size_bytes", [None, 3 * MIB])
def test_more_than_the_limit_is_refused(store: ImageStore, root: Path, size_bytes: int | None) -> None:
    with pytest.raises(ImageInvalid, match="larger than 2097152 bytes"):
        asyncio.run(save(store, bytes(3 * MIB), max_bytes=2 * MIB, size_bytes=size_bytes))
    assert files(root) == []


@pytest.mark.parametrize("error", [ConnectionResetError(), asyncio.CancelledError()], ids=repr)
def test_nothing_is_left_of_a_stream_that_fails_or_is_cancelled(
    store: ImageStore, root: Path, error: BaseException
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(9 * MIB)
        raise error

    async def story() -> None:
        await store.save(
            failing(), format="raw", kind=ImageKind.DISK, expected_sha256=None, max_bytes=100 * MIB
        )

    with pytest.raises(type(error)):
        asyncio.run(story())
    assert files(root) == []


@pytest.mark.parametrize("name", ["", "a", "../" + "a" * 61, "A" * 64, "a" * 63 + "\n", "a" * 65])
def test_no_name_leads_out_of_the_store(store: ImageStore, name: str) -> None:
    with pytest.raises(InvalidInput, match="64 lower-case hex digits"):
        store.path(name)
    with pytest.raises(InvalidInput):
        asyncio.run(store.delete(name))


def test_deleted_bytes_are_gone_and_may_be_deleted_again(store: ImageStore) -> None:
    stored = asyncio.run(save(store, disk()))
    for _ in range(2):
        asyncio.run(store.delete(stored.sha256))
    with pytest.raises(NotFound, match="Register the image again"):
        store.path(stored.sha256)


def test_a_program_that_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    store = ImageStore(root, "qemu-img-of-nobody")
    with pytest.raises(PermanentError, match=r"qemu-img-of-nobody.*Install qemu-utils"):
        asyncio.run(save(store, qcow2(tmp_path, disk()), format="qcow2"))
    assert files(root) == []


SAVES_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from provisioner.core.model import ImageKind
from provisioner.services.image_store import ImageStore

async def chunks():
    for _ in range(3):
        yield bytes(4 * 2**20)
    print("saving", flush=True)
    await asyncio.Event().wait()

asyncio.run(ImageStore(Path(sys.argv[1])).save(
    chunks(), format="raw", kind=ImageKind.DISK, expected_sha256=None, max_bytes=2**30))
"""


def test_drafts_of_the_dead_are_removed_at_start_and_those_of_the_living_kept(root: Path) -> None:
    command = [sys.executable, "-c", SAVES_FOR_EVER, str(root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "saving\n"
            ImageStore(root)
            assert len(files(root)) == 1
        finally:
            child.send_signal(signal.SIGKILL)
    assert len(files(root)) == 1
    ImageStore(root)
    assert files(root) == []


@contextmanager
def small_disk(size_mib: int) -> Iterator[Path]:
    """A tmpfs in a mount namespace of its own, seen through /proc; gone with its process."""
    script = f"mount -t tmpfs -o size={size_mib}m none /mnt && echo ready && exec sleep infinity"
    command = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
            yield Path(f"/proc/{holder.pid}/root/mnt")
        finally:
            holder.kill()


@pytest.mark.wire
@pytest.mark.parametrize("reserve_bytes", [0, 4 * MIB])
def test_a_full_disk_tells_what_is_needed_and_free_and_nothing_is_left(reserve_bytes: int) -> None:
    with small_disk(16) as folder:
        store = ImageStore(folder / "images", reserve_bytes=reserve_bytes)
        with pytest.raises(StorageFull, match=r"\d+ bytes more are needed, \d+ are free.*[Dd]elete images"):
            asyncio.run(save(store, b"\xaa" * (24 * MIB)))
        assert files(folder) == []
        asyncio.run(save(store, disk(8)))


@pytest.mark.wire
def test_a_disk_that_fills_up_in_mid_write_is_told_too() -> None:
    with small_disk(16) as folder:
        store = ImageStore(folder / "images", reserve_bytes=-(2**40))  # so that only the kernel objects
        with pytest.raises(StorageFull, match="No space left on device, 0 bytes are free"):
            asyncio.run(save(store, b"\xaa" * (24 * MIB)))
        assert files(folder) == []


@pytest.mark.wire
def test_a_qcow2_whose_content_does_not_fit_for_its_examination_is_told(tmp_path: Path) -> None:
    content = qcow2(tmp_path, b"\xaa" * (24 * MIB), "-c")
    assert len(content) < 2 * MIB
    with small_disk(16) as folder:
        for reserve_bytes in (0, -(2**40)):
            store = ImageStore(folder / "images", reserve_bytes=reserve_bytes)
            with pytest.raises(StorageFull):
                asyncio.run(save(store, content, format="qcow2"))
            assert files(folder) == []


def test_a_conversion_does_not_outlive_its_caller(root: Path, tmp_path: Path) -> None:
    # qemu-img that tells its process id and then takes for ever.
    program = tmp_path / "slow-qemu-img"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep infinity\n")
    program.chmod(0o755)
    content = qcow2(tmp_path, disk())

    async def story() -> int:
        saving = asyncio.create_task(save(ImageStore(root, str(program)), content, format="qcow2"))
        async with asyncio.timeout(20):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await asyncio.sleep(0.01)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        return int((tmp_path / "pid").read_text())

    pid = asyncio.run(story())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert files(root) == []


CONVERTS_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from provisioner.core.model import ImageKind
from provisioner.services.image_store import ImageStore

root, program, source = sys.argv[1:]
asyncio.run(ImageStore(Path(root), program).fetch(
    f"file://{source}", format="qcow2", kind=ImageKind.DISK, expected_sha256=None, max_bytes=2**30))
"""


def test_a_conversion_dies_with_a_process_that_is_killed(root: Path, tmp_path: Path) -> None:
    # qemu-img that holds a pipe open as long as it lives.
    program, lives = tmp_path / "slow-qemu-img", tmp_path / "lives"
    qcow2(tmp_path, disk())
    command = [sys.executable, "-c", CONVERTS_FOR_EVER, root, program, tmp_path / "made.qcow2"]
    program.write_text(f"#!/bin/sh\nexec 9> {lives}\necho x >&9\nexec sleep infinity\n")
    program.chmod(0o755)
    os.mkfifo(lives)
    with subprocess.Popen(command, cwd=ROOT) as child, lives.open("rb", buffering=0) as pipe:
        assert pipe.read(2) == b"x\n"
        child.send_signal(signal.SIGKILL)
        assert pipe.read(1) == b"", "the pipe ends when nobody holds it any more"


# --- fetching

Handler = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def fetch(store: ImageStore, url: str, **options: Any) -> StoredImage:
    given: dict[str, Any] = {"format": "raw", "kind": ImageKind.DISK, "expected_sha256": None}
    return await store.fetch(url, **{**given, "max_bytes": 100 * MIB, **options})


def fetch_from(
    store: ImageStore, head: str, body: bytes, path: str = "/image", **options: Any
) -> StoredImage:
    """Fetches from a server that answers every request with this and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/moved" in request:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /image\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async def story() -> StoredImage:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await fetch(store, f"http://user:hidden@127.0.0.1:{port}{path}", **options)

    return asyncio.run(story())


@pytest.mark.wire
@pytest.mark.parametrize("path", ["/image", "/moved"])
@pytest.mark.parametrize("length", [True, False])
def test_an_image_is_fetched_by_http(store: ImageStore, path: str, length: bool) -> None:
    raw = disk()
    head = "HTTP/1.1 200 OK" + (f"\r\nContent-Length: {len(raw)}" if length else "")
    stored = fetch_from(store, head, raw, path)
    assert store.path(stored.sha256).read_bytes() == raw


@pytest.mark.wire
@pytest.mark.parametrize(
    ("head", "body", "kind", "complaint"),
    [
        ("HTTP/1.1 404 Not Found", b"", PermanentError, "HTTP status 404"),
        ("HTTP/1.1 503 Busy", b"", TransientError, "HTTP status 503"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2000", b"x" * 512, TransientError, "cut off after 512 of 2000"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 999999999", b"x", ImageInvalid, "larger than"),
        ("HTTP/1.1 200 OK", bytes(512 * 300_000), ImageInvalid, "larger than"),
        ("SSH-2.0-OpenSSH_9.2", b"", TransientError, "fetch the image"),
    ],
)
def test_a_fetch_that_fails_says_why_and_leaves_nothing(
    store: ImageStore, root: Path, head: str, body: bytes, kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint) as raised:
        fetch_from(store, head, body, "/image?signature=hidden")
    assert "hidden" not in str(raised.value)
    assert files(root) == []


@pytest.mark.wire
def test_a_server_that_is_not_there_is_transient(store: ImageStore) -> None:
    with pytest.raises(TransientError, match=r"fetch the image http://127.0.0.1:9/x"):
        asyncio.run(fetch(store, "http://127.0.0.1:9/x"))


def test_an_image_is_fetched_from_a_file(store: ImageStore, tmp_path: Path) -> None:
    raw = disk()
    (tmp_path / "my image").write_bytes(raw)
    stored = asyncio.run(fetch(store, f"file://{tmp_path}/my%20image"))
    assert store.path(stored.sha256).read_bytes() == raw


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("file:///nowhere", PermanentError),
        ("file:///dev/zero", PermanentError),
        ("ftp://host/x", InvalidInput),
        ("image.raw", InvalidInput),
        ("http://host:port/x", InvalidInput),
        ("http:///x", InvalidInput),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(store: ImageStore, url: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        asyncio.run(fetch(store, url))
