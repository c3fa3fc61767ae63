"""Each promise bites on what is seen of real machines: the rack's audit log as it is written, what the API
answers, and what the lab finds when it looks; none of what the model alone can see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bmsim.audit import AuditLog, Entry
from scenarios.runner.invariants import INVARIANTS, Invariant
from scenarios.runner.invariants.active_node_untouched import ActiveNodeUntouched
from scenarios.runner.invariants.bytes_equal_image import BytesEqualImage
from scenarios.runner.invariants.disk_as_ordered import DiskAsOrdered
from scenarios.runner.invariants.no_defect import NoDefect
from scenarios.runner.invariants.no_secret_told import NoSecretTold
from scenarios.runner.invariants.nothing_for_idle_nodes import NothingForIdleNodes
from scenarios.runner.invariants.off_when_offered import OffWhenOffered
from scenarios.runner.invariants.one_owner import OneOwner
from scenarios.runner.invariants.one_publisher import OnePublisher
from scenarios.runner.invariants.seen_running import SeenRunning
from scenarios.runner.invariants.wiped_before_offered import WipedBeforeOffered
from scenarios.runner.machine.watching import Watching
from scenarios.runner.stage import Answer, Around, DiskTruth
from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.verdict import Breach
from scenarios.runner.vocabulary import SEEN_BY_ONE
from tests.unit.invariants.watched import Lab

HOSTS = {"10.77.0.10": "ch1", "10.77.0.11": "ch2"}
ADDRESS = {host: address for address, host in HOSTS.items()}
RIVAL = "10.77.0.254"


class Machines:
    """Of a rack that one invariant watches. Times are seconds since the story began."""

    def __init__(self, folder: Path, invariant: Invariant) -> None:
        self.lab = Lab()
        self.breaches: list[Breach] = []
        self.now_s = 0.0
        self._invariant = invariant
        self._nodes: dict[str, dict[str, Any]] = {}
        self._trace = Trace()
        self._trace.listen(self._see)
        self._log = AuditLog(folder / "audit.jsonl")
        rack: Any = SimpleNamespace(state=SimpleNamespace(audit_file=folder / "audit.jsonl"))
        self._watching = Watching(rack, self, self._trace, 0.0, HOSTS, ())

    # --- devices ---------------------------------------------------------------------------------

    def device(
        self,
        device: str,
        command: str,
        sender: str = "",
        result: str = "ok",
        /,
        *,
        node: str = "n1",
        **args: Any,
    ) -> None:
        """A line of the audit log."""
        self.now_s += 1
        self._log.write(
            Entry(
                t=self.now_s,
                node=node,
                device=device,
                command=command,
                sender=f"{sender}:40000" if sender else "",
                result=result,
                args=args,
            )
        )

    def offers(self, sender: str, exchange: str) -> None:
        given = {"mac": "52:54:00:77:00:01", "client": "iPXE", "address": "10.77.0.100"}
        self.device("dhcp", "offer", sender, **given, file="boot.ipxe", exchange=exchange)

    # --- the provisioner and its client ----------------------------------------------------------

    def node(self, state: str, owner: str = "ch1", fence: int = 1, *, node: str = "n1") -> None:
        """As the API shows it from now on."""
        self._nodes[node] = {"name": node, "state": state, "owner": owner, "fence": fence}

    def client(self, source: str, name: str, node: str = "n1", **detail: Any) -> None:
        self.looks()
        self.now_s += 1
        told = Event(t_s=self.now_s, origin=Origin.STAGE, source=source, name=name, node=node, detail=detail)
        self._trace.add(told)

    def active(self, instance: str = "web") -> None:
        self.client("request", "deploy", instance=instance, image="tiny")
        self.client("client", "instance", instance=instance, state="active")

    async def call(self, method: str, path: str) -> Answer:
        items = list(self._nodes.values()) if path.startswith("/v1/nodes?") else []
        return Answer(status=200, body={"items": items})

    # --- the lab ---------------------------------------------------------------------------------

    def looks(self) -> None:
        """At what has come since the last time."""
        asyncio.run(self._watching.look(("n1",)))

    def end(self) -> list[Breach]:
        self.looks()
        self.breaches += self._invariant.end(self.now_s, self.lab)
        return self.breaches

    def _see(self, event: Event) -> None:
        assert f"{event.source}.{event.name}" not in SEEN_BY_ONE["model"]
        if event.source in self._invariant.sources:
            self.breaches += self._invariant.see(len(self._trace) - 1, event, self.lab)


Make = Callable[[Callable[[], Invariant]], Machines]

JUDGED: set[type[Any]] = {
    *(OneOwner, OnePublisher, ActiveNodeUntouched, BytesEqualImage, DiskAsOrdered, SeenRunning),
    *(WipedBeforeOffered, OffWhenOffered, NothingForIdleNodes, NoSecretTold),
}
"""By the tests below. NoDefect sees the end of processes in the model alone, and what any client is told."""


def test_none_is_left_out() -> None:
    assert {*JUDGED, NoDefect} == set(INVARIANTS)


@pytest.fixture
def watched_by(tmp_path: Path) -> Make:
    return lambda invariant: Machines(tmp_path, invariant())


ACTS = {
    "a BMC": ("bmc", "chassis.power.on", {}),
    "an outlet": ("pdu", "outlet.on", {"pdu": "p1", "outlet": 1}),
    "an agent": ("agent", "command", {"command": "wipe"}),
    "a disk": ("iscsi", "login", {}),
    "a board": ("monitor", "ifconfig", {}),
}


@pytest.mark.parametrize("of", ACTS)
def test_an_owner_of_before_is_seen_at(of: str, watched_by: Make) -> None:
    rack, (device, command, args) = watched_by(OneOwner), ACTS[of]
    for fence, owner in ((1, "ch1"), (2, "ch2")):
        rack.node("deploying", owner, fence)
        rack.looks()
        rack.device(device, command, ADDRESS[owner], **args)
    assert not rack.end()
    rack.device(device, command, ADDRESS["ch1"], "refused: it knows better", **args)
    assert not rack.end()
    rack.device(device, command, ADDRESS["ch1"], **args)
    assert f"ch1 acted on n1 ({device} {command}) after ch2" in rack.end()[0].what


def test_a_disk_that_two_can_write_to_is_seen(watched_by: Make) -> None:
    rack = watched_by(OneOwner)
    rack.node("deploying", "ch1", 1)
    rack.looks()
    rack.device("iscsi", "login", ADDRESS["ch1"])
    rack.device("iscsi", "login", ADDRESS["ch2"], "refused: 0x0201", beside=["10.78.0.10:50000"])
    assert not rack.end()
    rack.device("iscsi", "login", ADDRESS["ch2"], beside=["10.78.0.10:50000"])
    assert "ch2 was let in to the disk of n1 beside 10.78.0.10:50000" in rack.end()[0].what


def test_two_offers_in_one_exchange_are_seen_and_a_rivals_is_not(watched_by: Make) -> None:
    rack = watched_by(OnePublisher)
    rack.node("deploying")
    rack.offers(ADDRESS["ch1"], "0a0b0c0d")
    rack.offers(RIVAL, "0a0b0c0d")
    rack.offers(ADDRESS["ch2"], "0a0b0c0e")
    assert not rack.end()
    rack.offers(ADDRESS["ch2"], "0a0b0c0d")
    assert "ch1 and ch2 both offered n1" in rack.end()[0].what


def test_a_new_owner_may_offer_before_anybody_saw_that_it_is_one(watched_by: Make) -> None:
    """Its node asks again under the same number."""
    rack = watched_by(OnePublisher)
    rack.node("deploying", "ch1")
    rack.offers(ADDRESS["ch1"], "0a0b0c0d")
    rack.looks()
    rack.offers(ADDRESS["ch2"], "0a0b0c0d")
    rack.node("deploying", "ch2", 2)
    assert not rack.end()
    rack.offers(ADDRESS["ch1"], "0a0b0c0d")
    assert "ch2 and ch1 both offered n1" in rack.end()[0].what


@pytest.mark.parametrize("by", ["http", "tftp"])
def test_an_owner_of_before_that_sends_files_is_seen(by: str, watched_by: Make) -> None:
    rack = watched_by(OnePublisher)
    for fence, owner in ((1, "ch1"), (2, "ch2")):
        rack.node("deploying", owner, fence)
        rack.looks()
        rack.device(by, "sent", ADDRESS[owner], file="kernel", bytes=9)
    assert not rack.end()
    rack.device(by, "sent", ADDRESS["ch1"], file="kernel", bytes=9)
    assert f"ch1 served n1 ({by} sent) after ch2 had begun to" in rack.end()[0].what


@pytest.mark.parametrize("by", ["http", "tftp"])
def test_another_nodes_file_is_seen(by: str, watched_by: Make) -> None:
    rack = watched_by(OnePublisher)
    rack.device(by, "sent", ADDRESS["ch1"], file="undionly.kpxe", bytes=9)
    rack.device(by, "sent", ADDRESS["ch1"], file="kernel", bytes=9, offered_to="n1")
    assert not rack.end()
    rack.device(by, "sent", ADDRESS["ch1"], file="kernel", bytes=9, offered_to="n2")
    assert "which is n2's" in rack.end()[0].what


@pytest.mark.parametrize("of", ACTS)
def test_an_active_node_that_is_touched_is_seen_at(of: str, watched_by: Make) -> None:
    rack, (device, command, args) = watched_by(ActiveNodeUntouched), ACTS[of]
    command = command.replace(".on", ".off")
    rack.device(device, command, ADDRESS["ch1"], **args)
    rack.active()
    assert not rack.end()
    rack.device(device, command, ADDRESS["ch1"], **args)
    assert "whose instance is active" in rack.end()[0].what


@pytest.mark.parametrize("of", ["a BMC", "an agent", "a disk"])
def test_what_an_active_node_refused_has_not_touched_it(of: str, watched_by: Make) -> None:
    rack, (device, command, args) = watched_by(ActiveNodeUntouched), ACTS[of]
    rack.active()
    rack.device(device, command.replace(".on", ".off"), ADDRESS["ch1"], "refused: it knows better", **args)
    assert not rack.end()


@pytest.mark.parametrize("image", ["tiny", "debian"])
def test_a_disk_is_compared_when_it_can_be_read(image: str, watched_by: Make) -> None:
    rack = watched_by(BytesEqualImage)
    rack.active()
    assert not rack.breaches
    rack.lab.disks["n1"] = DiskTruth(image=image, blank=False)
    assert bool(rack.end()) is (image == "debian")


@pytest.mark.parametrize("hostname", ["web", "db", ""])
def test_what_lies_around_the_image_is_read_when_the_disk_can_be(hostname: str, watched_by: Make) -> None:
    rack = watched_by(DiskAsOrdered)
    rack.active()
    assert not rack.breaches
    rack.lab.disks["n1"] = DiskTruth(
        image="tiny", blank=False, around=Around(root_fills=True, hostname=hostname)
    )
    assert bool(rack.end()) is (hostname != "web")


@pytest.mark.parametrize("of", ["a BMC", "an outlet"])
def test_a_node_that_runs_when_it_is_offered_is_seen(of: str, watched_by: Make) -> None:
    rack, (device, command, args) = watched_by(OffWhenOffered), ACTS[of]
    for goes_off in (True, False):
        rack.node("deploying")
        rack.active()
        rack.device(device, command, ADDRESS["ch1"], **args)
        if goes_off:
            rack.device(device, command.replace(".on", ".off"), ADDRESS["ch1"], **args)
            rack.device("machine", "off")
        rack.node("available")
        assert bool(rack.end()) is not goes_off
    assert "n1 is offered again, and it runs" in rack.end()[0].what


@pytest.mark.parametrize("ran", ["tiny", ""])
def test_a_console_that_shows_no_system_is_read_again_at_the_end(ran: str, watched_by: Make) -> None:
    rack = watched_by(SeenRunning)
    rack.lab.systems["n1"] = None
    rack.active()
    assert not rack.breaches
    rack.lab.ran_after_all["n1"] = (ran,)
    assert bool(rack.end()) is not ran


@pytest.mark.parametrize("blank", [True, False])
def test_a_disk_is_read_when_its_node_is_offered_though_it_is_deployed_again(
    blank: bool, watched_by: Make
) -> None:
    rack = watched_by(WipedBeforeOffered)
    rack.node("deploying")
    rack.device("iscsi", "login", ADDRESS["ch1"])
    rack.looks()
    rack.lab.disks["n1"] = DiskTruth(image="", blank=blank)
    rack.node("available")
    rack.looks()
    rack.node("deploying")
    rack.lab.disks["n1"] = DiskTruth(image="tiny", blank=False)
    assert bool(rack.end()) is not blank


def test_a_disk_that_could_not_be_read_then_is_read_at_the_end(watched_by: Make) -> None:
    rack = watched_by(WipedBeforeOffered)
    rack.device("iscsi", "login", ADDRESS["ch1"])
    rack.node("available")
    assert not rack.end()
    rack.lab.disks["n1"] = DiskTruth(image="", blank=False)
    assert "traces of its last instance" in rack.end()[0].what


@pytest.mark.parametrize("by", ["http", "tftp"])
def test_a_file_for_an_idle_node_is_seen(by: str, watched_by: Make) -> None:
    rack = watched_by(NothingForIdleNodes)
    rack.client("client", "node", state="available")
    rack.device("dhcp", "ack", ADDRESS["ch1"], mac="52:54:00:77:00:01", client="iPXE", file="", exchange="01")
    assert not rack.end()
    rack.device(by, "sent", ADDRESS["ch1"], file="kernel", bytes=9)
    assert "n1, which nobody deploys, was sent kernel" in rack.end()[0].what


def test_what_an_idle_node_would_be_told_to_boot_is_seen(watched_by: Make) -> None:
    rack = watched_by(NothingForIdleNodes)
    rack.client("client", "node", state="available")
    assert not rack.end()
    rack.lab.boots["n1"] = "undionly.kpxe"
    assert "would still be given undionly.kpxe" in rack.end()[0].what


def test_a_secret_that_passed_the_wires_is_seen_in_a_timeline(watched_by: Make) -> None:
    rack = watched_by(NoSecretTold)
    rack.lab.hidden.append("0123456789abcdef0123456789abcdef")
    rack.lab.logs.append(("the answer to GET /v1/nodes/n1/events", "exported with 0123456789abcdef"))
    assert not rack.end()
    rack.lab.logs.append(("the answer to GET /v1/nodes/n1/events", str(rack.lab.hidden)))
    assert "stands in the answer to GET /v1/nodes/n1/events" in rack.end()[0].what
