"""Roots by NFS: served by a real nfs-ganesha, read by a client not ours."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError
from provisioner.protocols.netboot import Offer
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import GaneshaService, nfs_path
from provisioner.services.system import SystemClock
from tests.wire.services import nfs4_client
from tests.wire.services.conftest import play
from tests.wire.services.linked_roots import linked_roots
from tests.wire.services.segment import HOST, NODE, NODE_IF, NODE_MAC, STRANGER, Segment, children_of

pytestmark = pytest.mark.wire


def offer(folder: Path | None, node: str = "node-1", address: str = NODE) -> Offer:
    return Offer(node_id=node, node_name=node, macs=(NODE_MAC,), addresses=(address,), nfs_root=folder)


def root_in(folder: Path, name: str) -> Path:
    root = folder / name
    root.mkdir()
    (root / "secret").write_text(f"of {name}\n")
    (root / "secret").chmod(0o600)
    return root


@contextmanager
def overlay(folder: Path) -> Iterator[Path]:
    """Without nfs_export it has no file handles. Its layers lie in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    try:
        lower, upper, work, merged = (folder / name for name in ("lower", "upper", "work", "merged"))
        for made in (lower, upper, work, merged):
            made.mkdir()
        options = f"nfs_export=off,lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(merged)], check=True)
        try:
            yield merged
        finally:
            subprocess.run(["umount", str(merged)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@asynccontextmanager
async def ganesha(folder: Path, *offers: Offer) -> AsyncIterator[GaneshaService]:
    async with GaneshaService(IPv4Address(HOST), folder, SystemChildren(), SystemClock()) as service:
        for one in offers:
            await service.offer(one)
        yield service


async def at_node(network: Segment, *words: str) -> str:
    """What a client of NFS at the node's end prints, or the last it complains."""

    def run() -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        return done.stdout if done.returncode == 0 else "failed: " + done.stderr

    return await network.run_at_node(run)


async def read(network: Segment, root: Path) -> str:
    return await at_node(network, "nfs-cat", f"nfs://{HOST}{nfs_path(root)}/secret?version=4")


def test_a_node_reads_and_writes_its_own_root(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        root = root_in(tmp_path, "r1")
        async with ganesha(tmp_path / "g", offer(root)):
            assert await read(network, root) == "of r1\n", "its owner's files too: no identity is squashed"
            new = f"nfs://{HOST}{nfs_path(root)}/new?version=4"
            source = tmp_path / "source"
            source.write_text("written")
            assert "failed" not in await at_node(network, "nfs-cp", str(source), new)
            assert (root / "new").read_text() == "written"

    play(story)


def test_a_folder_behind_a_symbolic_link_is_served_too(network: Segment, tmp_path: Path) -> None:
    service, root = linked_roots("ganesha", tmp_path)
    (root / "secret").write_text("of r1\n")

    async def story() -> None:
        assert isinstance(service, GaneshaService)
        async with service:
            await service.offer(offer(root))
            assert await read(network, root) == "of r1\n"

    play(story)


def test_another_address_gets_nothing(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        root = root_in(tmp_path, "r1")
        other = root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g", offer(root), offer(other, "node-2", STRANGER)):
            assert "failed" in await read(network, other)
            await at_node(network, "ip", "address", "flush", "dev", NODE_IF)
            await at_node(network, "ip", "address", "add", f"{STRANGER}/24", "dev", NODE_IF)
            assert "failed" in await read(network, root)
            assert await read(network, other) == "of r2\n"

    play(story)


def test_an_offer_is_in_force_when_it_returns_and_gone_when_it_is_withdrawn(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two = root_in(tmp_path, "r1"), root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g") as service:
            assert "failed" in await read(network, one)
            await service.offer(offer(one))
            assert await read(network, one) == "of r1\n"
            await service.offer(offer(two))
            assert await read(network, two) == "of r2\n"
            assert "failed" in await read(network, one), "a new root takes the place of the old one"
            await service.offer(offer(None))
            assert "failed" in await read(network, two)
            await service.withdraw("node-1")

    play(story)


def test_many_at_once_are_read_together(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        roots = [root_in(tmp_path, f"r{number}") for number in range(30)]
        async with ganesha(tmp_path / "g") as service:
            offers = (offer(root, f"node-{root.name}") for root in roots)
            await asyncio.gather(*map(service.offer, offers))
            assert [await read(network, root) for root in roots] == [f"of {root.name}\n" for root in roots]

    play(story)


def test_a_server_that_dies_is_started_again(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        root = root_in(tmp_path, "r1")
        async with ganesha(tmp_path / "g", offer(root)):
            (pid,) = children_of(os.getpid())
            os.kill(pid, signal.SIGKILL)
            while await read(network, root) != "of r1\n":
                await asyncio.sleep(0.05)

    play(story)


def test_a_root_that_is_gone_is_told_of_until_it_is_back_and_no_other_node_notices(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, ten, two = (root_in(tmp_path, name) for name in ("r1", "r10", "r2"))
        async with ganesha(tmp_path / "g", offer(two, "node-2")) as service:
            shutil.rmtree(one)
            first, other = await asyncio.gather(
                service.offer(offer(one)), service.offer(offer(ten, "node-10")), return_exceptions=True
            )
            assert other is None
            told = rf"export a root directory on folder {one}: .*No such file or directory.* Is it there"
            assert isinstance(first, PermanentError) and re.search(told, str(first))
            with pytest.raises(PermanentError, match=told):
                await service.offer(offer(one))
            assert [await read(network, root) for root in (ten, two)] == ["of r10\n", "of r2\n"]
            root_in(tmp_path, "r1")
            await service.offer(offer(one))
            assert await read(network, one) == "of r1\n"

    play(story)


def test_a_root_that_is_refused_at_a_restart_is_told_of_when_it_is_offered_again(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two = root_in(tmp_path, "r1"), root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g", offer(one), offer(two, "node-2")) as service:
            shutil.rmtree(one)
            (pid,) = children_of(os.getpid())
            os.kill(pid, signal.SIGKILL)
            while await read(network, two) != "of r2\n":
                await asyncio.sleep(0.05)
            with pytest.raises(PermanentError, match="No such file or directory"):
                await service.offer(offer(one))
            await service.withdraw("node-1")
            await service.offer(offer(two, "node-2"))

    play(story)


def test_a_root_on_a_file_system_without_file_handles_is_told_of(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        with overlay(tmp_path / "overlay") as folder:
            root = root_in(folder, "r1")
            async with ganesha(tmp_path / "g") as service:
                with pytest.raises(PermanentError, match=r"Operation not supported.* has file handles"):
                    await service.offer(offer(root))

    play(story)


async def held(network: Segment, root: Path) -> bytes:
    """The handle of a file in a root, as a node has it that has opened it."""
    return await network.run_at_node(lambda: nfs4_client.handle_of(HOST, root.name, "secret"))


async def read_held(network: Segment, handle: bytes) -> str:
    status, data = await network.run_at_node(lambda: nfs4_client.read(HOST, handle))
    return data.decode() if status == nfs4_client.OK else f"status {status}"


def test_what_a_node_has_opened_stays_its_own_over_a_restart_in_whatever_order(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two, new = (root_in(tmp_path, f"r{number}") for number in (1, 2, 3))
        both = offer(one), offer(two, "node-2", STRANGER)
        async with ganesha(tmp_path / "g", *both):
            handle = await held(network, one)
        async with ganesha(tmp_path / "g", offer(new, "node-3", STRANGER), *reversed(both)):
            assert await read_held(network, handle) == "of r1\n"

    play(story)


def test_what_a_node_has_opened_stays_its_own_when_its_root_is_offered_again(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two = root_in(tmp_path, "r1"), root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g", offer(one), offer(two, "node-2")) as service:
            handle = await held(network, one)
            await asyncio.gather(service.withdraw("node-1"), service.withdraw("node-2"))
            assert "status" in await read_held(network, handle)
            await service.offer(offer(two, "node-2"))
            await service.offer(offer(one))
            assert await read_held(network, handle) == "of r1\n"
            # The port that it boots from is another one, and it stands where it stood.
            await service.offer(replace(offer(one), addresses=(STRANGER,)))
            assert await read_held(network, handle) == f"status {nfs4_client.ACCESS}"
            await service.offer(replace(offer(one), addresses=(STRANGER, NODE)))
            assert await read_held(network, handle) == "of r1\n"

    play(story)


def test_no_server_outlives_its_owner(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        async with ganesha(tmp_path / "g"):
            assert len(children_of(os.getpid())) == 1
        assert children_of(os.getpid()) == []

    play(story)


def test_a_second_server_at_the_address_is_refused_by_name(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        async with ganesha(tmp_path / "g"):
            with pytest.raises(PermanentError, match=r"start ganesha.nfsd.*nfs.server"):
                async with ganesha(tmp_path / "h"):
                    pass

    play(story)
