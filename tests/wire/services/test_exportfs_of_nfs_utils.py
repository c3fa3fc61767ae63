"""Roots by the kernel's NFS server, with nfs-utils' own `exportfs`: what it takes, and what its table has.

It works where the kernel serves no NFS, as on CI machines: it writes /var/lib/nfs/etab, which rpc.mountd
reads when a kernel asks. Here that file and /etc/exports are those of a mount namespace.
"""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.protocols.netboot import Offer
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.exportfs import ExportfsService, nfs_path
from tests.wire.services.conftest import play
from tests.wire.services.linked_roots import linked_roots
from tests.wire.services.look_clock import LookClock

pytestmark = pytest.mark.wire

ONE, TWO = "10.77.0.101", "10.77.0.102"

# With a network of its own, as a kernel that serves NFS is told of changes by the network's part of /proc.
SYSTEM = """
set -e
mount -t tmpfs tmpfs /var/lib/nfs
touch /var/lib/nfs/etab
mount --bind "$1" /etc/exports
echo made
exec cat
"""
ENTERED = """#!/bin/sh
exec nsenter --target {holder} --mount --net -- /usr/sbin/exportfs "$@"
"""


@dataclass(frozen=True)
class NfsUtils:
    """exports: /etc/exports there. nodes: the folder of ours."""

    program: Path
    exports: Path
    nodes: Path

    def service(self, clock: LookClock | None = None) -> ExportfsService:
        return ExportfsService(SystemChildren(), self.nodes, clock or LookClock(), versions=self.exports)

    def root(self, node: str = "node-1", attempt: str = "a") -> Path:
        root = self.nodes / folder_name(node, 1, attempt)
        root.mkdir(parents=True)
        return root

    def run(self, *words: str) -> str:
        done = subprocess.run([self.program, *words], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    @property
    def table(self) -> dict[tuple[str, str], set[str]]:
        """The options of each path and client."""
        found = {}
        for line in self.run("-s").splitlines():
            path, client, options = re.fullmatch(r"(\S+)  ([^(]+)\((.*)\)", line).groups()  # type: ignore[union-attr]
            found[(path.replace(r"\040", " "), client)] = set(options.split(","))
        return found

    @property
    def exported(self) -> set[tuple[str, str]]:
        return set(self.table)


@pytest.fixture
def nfs_utils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NfsUtils]:
    exports, program = tmp_path / "exports", tmp_path / "bin" / "exportfs"
    exports.touch()
    program.parent.mkdir()
    argv = ("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", SYSTEM, "sh", str(exports))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, text=True, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == "made\n", holder.stderr.read()
        program.write_text(ENTERED.format(holder=holder.pid))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        yield NfsUtils(program, exports, tmp_path / "my roots" / "nodes")
        # The end of its input, which leaving this closes, is its own.


def offer(root: Path | None, node: str = "node-1", addresses: tuple[str, ...] = (ONE,)) -> Offer:
    return Offer(node_id=node, node_name=node, macs=(), addresses=addresses, nfs_root=root)


def test_a_root_is_exported_to_its_nodes_addresses_alone_and_withdrawn(nfs_utils: NfsUtils) -> None:
    async def story() -> None:
        nfs_utils.run("-i", "-o", "ro,no_subtree_check", "*:/srv")
        theirs = nfs_utils.exported
        root, other = nfs_utils.root(), nfs_utils.root("node-2")
        async with nfs_utils.service() as service:
            await service.offer(offer(root, addresses=(ONE, TWO)))
            await service.offer(offer(other, "node-2", ("10.77.0.103",)))
            wanted = {(nfs_path(root), ONE), (nfs_path(root), TWO), (nfs_path(other), "10.77.0.103")}
            assert nfs_utils.exported == theirs | wanted
            for path, client in wanted:
                number = f"fsid={zlib.crc32(Path(path).name.encode())}"
                options = nfs_utils.table[(path, client)]
                assert {"rw", "no_root_squash", "no_subtree_check", "sync", "sec=sys", number} <= options
                assert not options & {"ro", "root_squash", "all_squash", "async", "insecure", "subtree_check"}
            await service.offer(offer(root, addresses=(TWO,)))
            assert nfs_utils.exported == theirs | wanted - {(nfs_path(root), ONE)}
            await service.withdraw("node-1")
            root.rmdir()
            other.rmdir()  # as when a survivor removed it on storage that they share
            await service.withdraw("node-2")
            assert nfs_utils.exported == theirs

    play(story)


def test_what_an_earlier_process_exported_is_found_and_withdrawn(nfs_utils: NfsUtils) -> None:
    async def story() -> None:
        root = nfs_utils.root()
        async with nfs_utils.service() as killed:
            await killed.offer(offer(root))
        async with nfs_utils.service() as service:
            assert OfferPublisher([], {}, nfs=service).roots() == {"node-1": root.name}
            await service.withdraw("node-1")
            assert nfs_utils.exported == set()

    play(story)


@pytest.mark.parametrize("words", [("-au",), ("-r",)], ids=["stopped", "reloaded"])
def test_what_the_nfs_servers_own_service_forgets_is_exported_again_once(
    nfs_utils: NfsUtils, words: tuple[str, ...]
) -> None:
    async def story() -> None:
        clock = LookClock()
        async with nfs_utils.service(clock) as service:
            await service.offer(offer(nfs_utils.root()))
            before = nfs_utils.exported
            nfs_utils.run(*words)
            assert nfs_utils.exported == set()
            await clock.one_look()
            assert nfs_utils.exported == before
            nfs_utils.run("-au")
            await service.withdraw("node-1")  # what is gone already

    play(story)


@pytest.mark.parametrize("line", ["/srv *(rw,no_such_word)", "/srv/none *(ro,no_subtree_check)", ""])
def test_what_etc_exports_says_is_no_matter_of_a_nodes_root(nfs_utils: NfsUtils, line: str) -> None:
    nfs_utils.exports.write_text(f"/srv *(ro,no_subtree_check)\n{line}\n")

    async def story() -> None:
        root = nfs_utils.root()
        async with nfs_utils.service() as service:
            await service.offer(offer(root))
            assert nfs_utils.exported == {(nfs_path(root), ONE)}

    play(story)


def test_a_root_that_is_not_there_is_refused_and_leaves_nothing(nfs_utils: NfsUtils) -> None:
    async def story() -> None:
        root = nfs_utils.root()
        root.rmdir()
        async with nfs_utils.service() as service:
            with pytest.raises(
                PermanentError, match=f"export {ONE}:{root} on .*: .*No such file or directory"
            ):
                await service.offer(offer(root))
            await service.withdraw("node-1")
            assert nfs_utils.exported == set()

    play(story)


def test_a_folder_behind_a_symbolic_link_is_named_as_the_kernel_names_it(
    nfs_utils: NfsUtils, tmp_path: Path
) -> None:
    service, root = linked_roots("kernel", tmp_path)

    async def story() -> None:
        assert isinstance(service, ExportfsService)
        service._versions = nfs_utils.exports
        async with service:
            await service.offer(offer(root))
            assert nfs_utils.exported == {(nfs_path(root), ONE)}
            await service.withdraw("node-1")
            assert nfs_utils.exported == set()

    play(story)
