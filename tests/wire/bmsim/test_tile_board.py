"""A tilepro64 board in a rack, against the provisioner's own services: every wire is real."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from fixtures.images import tilepro
from provisioner.protocols.roots import folder_name
from tests.wire.bmsim.conftest import rack_file
from tests.wire.bmsim.traces import eventually

pytestmark = [pytest.mark.wire, pytest.mark.rack]

MAC, ADDRESS = "52:54:00:77:00:05", "10.77.0.105"
BOOTP_MAC, SLOW_MAC = "52:54:00:77:00:07", "52:54:00:77:00:08"
NODE_ID = "3f0a2a52-0000-4000-8000-000000000005"
OUTLET = "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.5"
PROJECT = Path(__file__).parents[3]
HOST = "10.77.0.10"
PROBE = "from provisioner.services.icmp_probe import IcmpProbe"
MONITOR = Path(sys.executable).with_name("tile-monitor")


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    folder = tmp_path_factory.mktemp("tile")
    flash = folder / "vmlinux"
    flash.write_bytes(tilepro.program())
    pdu = {"name": "a", "family": "apc_rackpdu", "address": "10.78.0.201"}
    tile = {
        "name": "tile",
        "arch": "tilepro64",
        "nics": [{"mac": MAC}],
        "outlets": [{"pdu": "a", "outlet": 5}],
        "tile": {"boot_s": 0.5},
    }
    flashed = {
        **tile,
        "name": "flashed",
        "nics": [{"mac": "52:54:00:77:00:06"}],
        "outlets": [{"pdu": "a", "outlet": 6}],
        "tile": {"boot_s": 0.5, "compact_flash": str(flash)},
    }
    older = {
        **tile,
        "name": "older",
        "nics": [{"mac": BOOTP_MAC}],
        "outlets": [{"pdu": "a", "outlet": 7}],
        "tile": {"boot_s": 0.5, "address_by": "bootp"},
    }
    slow = {
        **tile,
        "name": "slow",
        "nics": [{"mac": SLOW_MAC}],
        "outlets": [{"pdu": "a", "outlet": 8}],
        "tile": {"boot_s": 15},
    }
    spec = {**rack_file("tile"), "pdus": [pdu], "nodes": [tile, flashed, older, slow]}
    with RunningRack.up(spec, folder / "racks") as running:
        yield running


@pytest.fixture(autouse=True)
def _off_and_well(rack: RunningRack) -> Iterator[None]:
    rack.state.console_log("tile").write_text("")
    yield
    rack.heal("tile")
    switch(rack, on=False)
    eventually("off", lambda: not rack.running()["tile"])


def switch(rack: RunningRack, *, on: bool, outlet: int = 5) -> None:
    oid = OUTLET.rpartition(".")[0] + f".{outlet}"
    words = ["snmpset", "-v2c", "-c", "private", "10.78.0.201", oid, "i", "1" if on else "2"]
    rack.run("ch1", words, check=True, capture_output=True)


@dataclass
class Services:
    root: Path
    said: Path

    def heard_of(self, kind: str) -> list[str]:
        """What they have said so far; of what a board does, it may be later than the board goes on."""
        return [line for line in self.said.read_text().splitlines() if line.startswith(kind)]


@contextmanager
def services(rack: RunningRack, folder: Path, **changes: Any) -> Iterator[Services]:
    root, kernel, said = folder / "root", folder / "kernel", folder / "said"
    root.mkdir()
    tilepro.make_root(root)
    kernel.write_bytes(tilepro.program(300_000))
    given = {
        "folder": str(folder),
        "root": str(root),
        "kernel": str(kernel),
        "node_id": NODE_ID,
        "mac": MAC,
        "address": ADDRESS,
    }
    words = [sys.executable, "-m", "tests.wire.bmsim.tile_services"]
    with said.open("w") as out:
        process = rack.popen("ch1", words, stdin=subprocess.PIPE, stdout=out, text=True, cwd=PROJECT)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps({**given, **changes}) + "\n")
        process.stdin.flush()
        eventually("services", lambda: "ready" in said.read_text())
        yield Services(root, said)
    finally:
        process.stdin.close()
        process.wait(30)


def pings(rack: RunningRack, address: str = ADDRESS) -> bool:
    """From the compute host. Debian's ping is in no package that we need."""
    code = f"import asyncio, sys; {PROBE}; sys.exit(not asyncio.run(IcmpProbe().answers({address!r})))"
    return rack.run("ch1", [sys.executable, "-c", code], cwd=PROJECT).returncode == 0


def monitor(rack: RunningRack, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [MONITOR, "--resume", "--net", ADDRESS, *words]
    done: subprocess.CompletedProcess[str] = rack.run("ch1", argv, capture_output=True, text=True)
    return done


def console(rack: RunningRack) -> str:
    """Since its last start in this test."""
    return rack.console("tile").rpartition("TILEPro64:")[2]


def told(rack: RunningRack, command: str, node: str = "tile") -> list[dict[str, Any]]:
    return [dict(e.args) for e in rack.received() if e.node == node and e.command == command]


def ssh(rack: RunningRack, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", f"UserKnownHostsFile={folder}/known")
    done: subprocess.CompletedProcess[str] = rack.run(
        "ch1",
        [
            *("ssh", "-i", folder / "key", *(word for option in options for word in ("-o", option))),
            *(f"root@{ADDRESS}", *words),
        ],
        capture_output=True,
        text=True,
    )
    return done


def test_a_board_boots_is_set_up_by_its_monitor_and_is_gone_with_its_outlet(
    rack: RunningRack, tmp_path: Path
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    with services(rack, tmp_path) as served:
        (served.root / "root/.ssh").mkdir()
        (served.root / "root/.ssh/authorized_keys").write_text((tmp_path / "key.pub").read_text())
        (served.root / "etc/hostname").write_text("web\n")
        assert not pings(rack)
        switch(rack, on=True)
        eventually("it answers a ping", lambda: pings(rack))
        sent = eventually("its fetch is told", lambda: served.heard_of("tftp."))
        assert [line.split()[0] for line in sent] == ["tftp.sent"]
        assert f"{NODE_ID}/kernel" in sent[0]

        assert ssh(rack, tmp_path, "true").returncode == 255, "nobody has started its SSH server"
        done = monitor(
            rack,
            *("--run", "-", "ifconfig", "xgbe0", "hw", "ether", MAC, "-", "--wait"),
            *("--run", "-", "ifconfig", "xgbe0", ADDRESS, "-", "--wait"),
            *("--run", "-", "/usr/sbin/sshd", "-", "--wait", "--quit"),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert ssh(rack, tmp_path, "uname", "-m").stdout == "tilepro\n"
        assert ssh(rack, tmp_path, "hostname").stdout == "web\n"
        assert (served.root / "etc/ssh/ssh_host_ed25519_key").exists(), "its host key lies in its own root"
        assert "Mounted root (nfs filesystem)" in monitor(rack, "--", "dmesg").stdout

        rule = ("-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "REJECT")
        assert monitor(rack, "--run", "-", "iptables", *rule, "-", "--wait", "--quit").returncode == 0
        assert ssh(rack, tmp_path, "true").returncode == 255
        refused = monitor(rack, "--run", "-", "gcc", "-", "--wait", "--quit")
        assert (refused.returncode, "is a model" in refused.stderr) == (127, True)

        switch(rack, on=False)
        eventually("it is off", lambda: not rack.running()["tile"])
        assert not pings(rack)
        assert monitor(rack, "--", "dmesg").returncode == 1


def test_a_board_takes_the_mac_that_its_monitor_sets(rack: RunningRack, tmp_path: Path) -> None:
    other = "52:54:00:77:00:15"
    with services(rack, tmp_path):
        switch(rack, on=True)
        eventually("it answers a ping", lambda: pings(rack))
        assert f"link/ether {MAC} " in monitor(rack, "--", "ifconfig", "xgbe0").stdout
        done = monitor(rack, "--run", "-", "ifconfig", "xgbe0", "hw", "ether", other, "-", "--wait", "--quit")
        assert (done.returncode, done.stderr) == (0, "")
        eventually("its neighbours see it", lambda: pings(rack))
        assert f"link/ether {other} " in monitor(rack, "--", "ifconfig", "xgbe0").stdout
        rack.run("ch1", ["ip", "neighbour", "flush", "to", ADDRESS], check=True)
        eventually("its neighbours ask again", lambda: pings(rack))
        assert other in rack.run("ch1", ["ip", "neighbour"], capture_output=True, text=True).stdout


def test_a_board_answers_no_ping_before_it_is_up(rack: RunningRack, tmp_path: Path) -> None:
    silent = []

    def up() -> bool:
        answered = pings(rack)
        # The console is read last: what it doesn't tell yet wasn't so when the ping was answered.
        said = rack.console("slow")
        if "Linux version" in said and "the monitor listens" not in said:
            silent.append(not answered)
        return "the monitor listens" in said

    with services(rack, tmp_path, mac=SLOW_MAC):
        switch(rack, on=True, outlet=8)
        eventually("its kernel boots", lambda: "Linux version" in rack.console("slow"))
        eventually("it is up", up)
        assert silent
        assert all(silent)
        eventually("it answers a ping", lambda: pings(rack))
        switch(rack, on=False, outlet=8)
        eventually("it is off", lambda: not rack.running()["slow"])


def test_a_board_whose_boot_is_slow_comes_up_by_itself_and_tells_that_it_was_struck(
    rack: RunningRack, tmp_path: Path
) -> None:
    with services(rack, tmp_path):
        rack.inject("tile", "node.slow_post", post_s=2)
        before = len(told(rack, "struck"))
        switch(rack, on=True)
        eventually("it strikes", lambda: told(rack, "struck")[before:] == [{"fault": "node.slow_post"}])
        eventually("it answers a ping", lambda: pings(rack))
        assert len(told(rack, "struck")) == before + 1


def test_a_board_with_its_kernel_in_compact_flash_fetches_none(rack: RunningRack, tmp_path: Path) -> None:
    with services(rack, tmp_path, mac="52:54:00:77:00:06") as served:
        switch(rack, on=True, outlet=6)
        eventually("it answers a ping", lambda: pings(rack))
        assert not served.heard_of("tftp.")
        switch(rack, on=False, outlet=6)
        eventually("it is off", lambda: not rack.running()["flashed"])


def test_a_board_that_asks_by_bootp_boots_and_never_asks_by_dhcp(rack: RunningRack, tmp_path: Path) -> None:
    with services(rack, tmp_path, mac=BOOTP_MAC) as served:
        switch(rack, on=True, outlet=7)
        eventually("it answers a ping", lambda: pings(rack))
        eventually("its fetch is told", lambda: any(NODE_ID in line for line in served.heard_of("tftp.sent")))
        eventually("its lease is told", lambda: any("BOOTP" in line for line in served.heard_of("dhcp.ack")))
        assert f"Mounted root (nfs filesystem) from {HOST}:" in rack.console("older")
        assert {
            entry.command for entry in rack.received() if (entry.node, entry.device) == ("older", "dhcp")
        } == {
            "bootrequest",
            "bootreply",
        }
        kernel = {"address": ADDRESS, "file": f"{NODE_ID}/kernel"}
        assert kernel.items() <= told(rack, "bootreply", "older")[-1].items()
        switch(rack, on=False, outlet=7)
        eventually("it is off", lambda: not rack.running()["older"])


def test_a_board_asks_by_bootp_again_until_somebody_answers(rack: RunningRack, tmp_path: Path) -> None:
    before = len(told(rack, "bootrequest", "older"))
    switch(rack, on=True, outlet=7)
    eventually("it asks again", lambda: len(told(rack, "bootrequest", "older")) >= before + 2)
    with services(rack, tmp_path, mac=BOOTP_MAC):
        eventually("it answers a ping", lambda: pings(rack))
        switch(rack, on=False, outlet=7)
        eventually("it is off", lambda: not rack.running()["older"])


@pytest.mark.parametrize("part", ["kernel", "init"])
def test_what_is_another_processors_is_refused_and_told_on_the_console(
    rack: RunningRack, tmp_path: Path, part: str
) -> None:
    with services(rack, tmp_path) as served:
        wrong = tmp_path / "kernel" if part == "kernel" else served.root / "sbin/init"
        wrong.write_bytes(tilepro.program(machine=62))
        switch(rack, on=True)
        words = "is ELF machine 62 (x86-64), not ELF machine 188 (TILEPro): not started"
        eventually("it says so", lambda: words in console(rack))
        assert words in monitor(rack, "--", "dmesg").stdout
        assert monitor(rack, "--run", "-", "sshd", "-", "--wait", "--quit").returncode == 1
        assert not pings(rack)


@pytest.mark.parametrize(
    ("fault", "parameters", "sign"),
    [
        ("node.hangs", {"at": "kernel"}, "Linux version"),
        ("boot.wrong_image", {"part": "init"}, "not started"),
    ],
)
def test_a_fault_keeps_a_board_down_until_it_is_healed_and_tells_that_it_struck(
    rack: RunningRack, tmp_path: Path, fault: str, parameters: dict[str, Any], sign: str
) -> None:
    with services(rack, tmp_path):
        rack.inject("tile", fault, **parameters)
        before = len(told(rack, "struck"))
        switch(rack, on=True)
        eventually("it strikes", lambda: told(rack, "struck")[before:] == [{"fault": fault}])
        eventually("so far it comes", lambda: sign in console(rack))
        assert not pings(rack)
        rack.heal("tile")
        if fault != "node.hangs":
            switch(rack, on=False)
            eventually("off", lambda: not rack.running()["tile"])
            switch(rack, on=True)
        eventually("it answers a ping", lambda: pings(rack))


def test_a_board_waits_for_an_nfs_server_that_is_away(rack: RunningRack, tmp_path: Path) -> None:
    """Its root lies where nobody serves; the board asks until its power goes, as by a hard mount."""
    with services(rack, tmp_path) as served:
        rack.inject("tile", "node.hangs", at="kernel")
        switch(rack, on=True)
        eventually("its kernel starts", lambda: "Linux version" in console(rack))
    rack.heal("tile")
    eventually("it waits", lambda: "not responding" in console(rack))
    assert not pings(rack)
    (tmp_path / "again").mkdir()
    with services(rack, tmp_path / "again", root=str(served.root)):
        eventually("it answers a ping", lambda: pings(rack))


def test_a_board_refuses_faults_of_disks_and_machines_those_of_boards(rack: RunningRack) -> None:
    with pytest.raises(RackError, match="strikes machines, and tile is a board of tilepro64"):
        rack.inject("tile", "disk.write_error")
    with pytest.raises(RackError, match="strikes DHCP, and older asks by BOOTP"):
        rack.inject("older", "dhcp.lost_offer")


def test_a_root_whose_path_no_bootp_reply_holds_is_told_to_the_kernel_by_dhcp(
    rack: RunningRack, tmp_path: Path
) -> None:
    """The last of them: what this board asks by DHCP stays in the rack's log."""
    root = tmp_path / folder_name(NODE_ID, 1, "a01e51e8-d039-464c-913a-1274b3e28356")
    root.mkdir()
    tilepro.make_root(root)
    with services(rack, tmp_path, mac=BOOTP_MAC, root=str(root)):
        switch(rack, on=True, outlet=7)
        eventually("it answers a ping", lambda: pings(rack))
        assert f"/{root.name},vers=4,proto=tcp\nxgbe0: {ADDRESS}" in rack.console("older")
        switch(rack, on=False, outlet=7)
        eventually("it is off", lambda: not rack.running()["older"])
