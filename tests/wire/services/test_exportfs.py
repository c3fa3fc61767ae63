"""Roots by the kernel's NFS server when its `exportfs` fails or hangs: one of the tests' own that is told to.
For nfs-utils' own there is test_exportfs_of_nfs_utils.py."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError, ProvisionerError, TransientError
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.protocols.netboot import Offer
from provisioner.protocols.roots import folder_name
from provisioner.services import exportfs
from provisioner.services.children import SystemChildren
from provisioner.services.exportfs import ExportfsService
from tests.wire.services.conftest import play
from tests.wire.services.look_clock import LookClock

pytestmark = pytest.mark.wire

ONE, TWO = "10.77.0.101", "10.77.0.102"
OPTIONS = "rw,no_root_squash,no_subtree_check,sync,sec=sys"


@dataclass(frozen=True)
class Kernel:
    """Its table of exports, and the folder that ours are in."""

    folder: Path
    nodes: Path

    def service(self, clock: LookClock | None = None) -> ExportfsService:
        return ExportfsService(SystemChildren(), self.nodes, clock or LookClock(), versions=self.folder)

    def forgets_all(self) -> None:
        """As when the NFS server is restarted: `exportfs -au`, or `-r` of one that is reloaded."""
        (self.folder / "table").write_text("")

    @property
    def table(self) -> set[str]:
        """PATH  CLIENT of each."""
        path = self.folder / "table"
        return {line.partition("(")[0] for line in path.read_text().splitlines()} if path.exists() else set()

    @property
    def calls(self) -> int:
        return len((self.folder / "calls").read_text().splitlines())

    def goes_wrong(self, how: str, ending: str) -> None:
        (self.folder / "mode").write_text(f"{how} {ending}\n")

    def is_well(self) -> None:
        (self.folder / "mode").unlink()

    def root(self, node: str, attempt: str = "a") -> Path:
        return self.nodes / folder_name(node, 1, attempt)

    def line(self, root: Path, address: str) -> str:
        return f"{root}  {address}".replace("my roots", r"my\040roots")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    program = shutil.copy(Path(__file__).with_name("exportfs.sh"), tmp_path / "exportfs")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Kernel(tmp_path, tmp_path / "my roots" / "nodes")


def offer(root: Path | None, node: str = "node-1", addresses: tuple[str, ...] = (ONE,)) -> Offer:
    return Offer(node_id=node, node_name=node, macs=(), addresses=addresses, nfs_root=root)


def test_a_root_is_exported_to_its_nodes_addresses_by_its_own_number_once(kernel: Kernel) -> None:
    async def story() -> None:
        root = kernel.root("node-1")
        async with kernel.service() as service:
            await service.offer(offer(root, addresses=(ONE, TWO)))
            text = (kernel.folder / "table").read_text()
            said = f"({OPTIONS},fsid={zlib.crc32(root.name.encode())})\n"
            assert text == "".join(kernel.line(root, address) + said for address in (ONE, TWO))
            asked = kernel.calls
            await service.offer(offer(root, addresses=(ONE, TWO)))
            assert kernel.calls == asked

    play(story)


def test_another_root_takes_the_place_of_the_first_and_none_that_of_both(kernel: Kernel) -> None:
    async def story() -> None:
        first, second = kernel.root("node-1"), kernel.root("node-1", "b")
        async with kernel.service() as service:
            await service.offer(offer(first, addresses=(ONE, TWO)))
            await service.offer(offer(second, addresses=(TWO,)))
            await service.offer(offer(kernel.root("node-2"), "node-2"))
            assert kernel.table == {
                kernel.line(second, TWO),
                kernel.line(kernel.root("node-2"), ONE),
            }
            await service.offer(offer(None))
            await service.withdraw("node-2")
            assert kernel.table == set()

    play(story)


async def fails(how: str, trying: ExportfsService, wanted: Offer | None) -> None:
    """Of a withdrawal, without an offer."""
    error: type[ProvisionerError] = PermanentError if how == "fail" else TransientError
    with pytest.raises(
        error, match=r"^(withdraw the )?export 10\.77\.0\.10[12]:/.* on this host's NFS server: .*Look"
    ):
        await (trying.offer(wanted) if wanted is not None else trying.withdraw("node-1"))


@pytest.mark.parametrize("how", ["fail", "lost", "hang"])
@pytest.mark.parametrize("ended_by", ["offer", "withdraw"])
def test_an_export_that_failed_is_made_when_it_is_tried_again_and_else_withdrawn(
    how: str, ended_by: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        root = kernel.root("node-1")
        wanted = offer(root, addresses=(ONE, TWO))
        async with kernel.service() as service:
            monkeypatch.setattr(exportfs, "TIMEOUT_S", 30 if how == "fail" else 1)
            kernel.goes_wrong(how, f"{TWO}:{root}")
            await fails(how, service, wanted)
            kernel.is_well()
            monkeypatch.setattr(exportfs, "TIMEOUT_S", 30)
            await (service.offer(wanted) if ended_by == "offer" else service.withdraw("node-1"))
            both = {kernel.line(root, address) for address in (ONE, TWO)}
            assert kernel.table == (both if ended_by == "offer" else set())

    play(story)


@pytest.mark.parametrize("how", ["fail", "lost", "hang"])
@pytest.mark.parametrize("ended_by", ["offer", "withdraw"])
def test_a_withdrawal_that_failed_is_not_claimed_and_done_when_it_is_tried_again(
    how: str, ended_by: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        root = kernel.root("node-1")
        wanted = offer(root, addresses=(ONE, TWO))
        async with kernel.service() as service:
            await service.offer(wanted)
            monkeypatch.setattr(exportfs, "TIMEOUT_S", 30 if how == "fail" else 1)
            kernel.goes_wrong(how, f"{TWO}:{root}")
            await fails(how, service, None)
            kernel.is_well()
            monkeypatch.setattr(exportfs, "TIMEOUT_S", 30)
            await (service.offer(wanted) if ended_by == "offer" else service.withdraw("node-1"))
            both = {kernel.line(root, address) for address in (ONE, TWO)}
            assert kernel.table == (both if ended_by == "offer" else set())

    play(story)


def test_what_the_kernel_forgets_is_exported_again(kernel: Kernel) -> None:
    async def story() -> None:
        one, two, found = kernel.root("node-1"), kernel.root("node-2"), kernel.root("node-3")
        async with kernel.service() as earlier:
            await earlier.offer(offer(found, "node-3"))
        clock = LookClock()
        async with kernel.service(clock) as service:
            await service.offer(offer(one, addresses=(ONE, TWO)))
            await service.offer(offer(two, "node-2"))
            text = (kernel.folder / "table").read_text()
            asked = kernel.calls
            await clock.one_look()
            assert kernel.calls == asked + 1, "nothing was lost"
            await service.withdraw("node-2")
            kernel.forgets_all()
            await clock.one_look()
            kept = {line for line in text.splitlines() if str(two.name) not in line}
            assert set((kernel.folder / "table").read_text().splitlines()) == kept

    play(story)


def test_what_is_exported_while_the_table_is_read_is_not_taken_for_lost(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        clock = LookClock()
        async with kernel.service(clock) as service:
            read = service._table

            async def read_and_then_offered() -> list[exportfs._Export]:
                table = await read()
                await service.offer(offer(kernel.root("node-1")))
                return table

            monkeypatch.setattr(service, "_table", read_and_then_offered)
            asked = kernel.calls
            await clock.one_look()
            assert kernel.calls == asked + 2, "the look, and the offer"

    play(story)


def test_one_export_that_cannot_be_made_again_keeps_no_other_from_it(kernel: Kernel) -> None:
    async def story() -> None:
        one, two = kernel.root("node-1"), kernel.root("node-2")
        clock = LookClock()
        async with kernel.service(clock) as service:
            await service.offer(offer(one))
            await service.offer(offer(two, "node-2"))
            kernel.forgets_all()
            kernel.goes_wrong("fail", str(one))
            await clock.one_look()
            assert kernel.table == {kernel.line(two, ONE)}
            kernel.is_well()
            await clock.one_look()
            assert kernel.table == {kernel.line(one, ONE), kernel.line(two, ONE)}

    play(story)


@pytest.mark.parametrize("how", ["fail", "hang"])
def test_what_was_to_be_withdrawn_is_not_made_again(
    how: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        root = kernel.root("node-1")
        clock = LookClock()
        async with kernel.service(clock) as service:
            await service.offer(offer(root, addresses=(TWO,)))
            monkeypatch.setattr(exportfs, "TIMEOUT_S", 30 if how == "fail" else 1)
            kernel.goes_wrong(how, f"{TWO}:{root}")
            await fails(how, service, None)
            kernel.is_well()
            monkeypatch.setattr(exportfs, "TIMEOUT_S", 30)
            kernel.forgets_all()
            await clock.one_look()
            assert kernel.table == set()

    play(story)


def test_what_is_gone_already_needs_no_withdrawal(kernel: Kernel) -> None:
    async def story() -> None:
        async with kernel.service() as service:
            await service.offer(offer(kernel.root("node-1")))
            kernel.forgets_all()
            await service.withdraw("node-1")

    play(story)


def test_what_an_earlier_process_exported_stays_for_whose_it_is_and_is_withdrawn_of_all_others(
    kernel: Kernel,
) -> None:
    async def story() -> None:
        mine, theirs, older = kernel.root("node-1"), kernel.root("node-2"), kernel.root("node-3")
        async with kernel.service() as killed:
            await killed.offer(offer(mine))
            await killed.offer(offer(theirs, "node-2"))
            await killed.offer(offer(older, "node-3"))
        with (kernel.folder / "table").open("a") as table:
            table.write(f"/srv/an\\040operators  {ONE}(ro)\n{kernel.nodes.parent}-2/nodes/x.1.y  {ONE}(ro)\n")
        others = {
            line for line in kernel.table if str(kernel.nodes) not in line and "my\\040roots/" not in line
        }
        assert len(others) == 2
        async with kernel.service() as service:
            publisher = OfferPublisher([], {}, nfs=service)
            assert publisher.roots() == {"node-1": mine.name, "node-2": theirs.name, "node-3": older.name}
            assert len(kernel.table) == 5, "machines live on them"
            await service.offer(offer(mine))
            newer = kernel.root("node-3", "b")
            await service.offer(offer(newer, "node-3"))
            await publisher.withdraw("node-2", root=False)
            assert len(kernel.table) == 5, "machines live on them"
            await publisher.withdraw("node-2")
            assert kernel.table == {kernel.line(mine, ONE), kernel.line(newer, ONE)} | others

    play(story)


def test_all_that_an_earlier_process_exported_is_noted_however_many_they_are(kernel: Kernel) -> None:
    async def story() -> None:
        nodes = [f"{number:08}-0000-4000-8000-000000000000" for number in range(3000)]
        lines = [f"{kernel.line(kernel.root(node), ONE)}({OPTIONS})\n" for node in nodes]
        (kernel.folder / "table").write_text("".join(lines))
        async with kernel.service() as service:
            assert set(service.roots()) == set(nodes)
            await service.withdraw(nodes[-1])
            assert len(kernel.table) == len(nodes) - 1

    play(story)


def test_a_kernel_without_an_nfs_server_is_said(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(PermanentError, match="nfs-kernel-server"):
            async with ExportfsService(SystemChildren(), tmp_path, LookClock(), versions=tmp_path / "none"):
                pass

    play(story)
