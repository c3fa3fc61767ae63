"""A tilepro64 board on a bench: what it asks for, when it is silent, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bmsim.devices.elf import machine_of
from bmsim.devices.messages import (
    BootpReply,
    BootpRequest,
    Console,
    DhcpAck,
    DhcpDiscover,
    DhcpOffer,
    DhcpRequest,
    Hung,
    NfsData,
    NfsError,
    NfsRead,
    Output,
    PowerOff,
    PowerOn,
    Question,
    Started,
    TftpData,
    TftpError,
    TftpRead,
)
from bmsim.devices.tile_board import AddressBy, TileBoard, TileTiming
from bmsim.devices.tile_commands import (
    Dmesg,
    FilterPackets,
    ReadFile,
    Refuse,
    Say,
    SetAddress,
    SetMac,
    ShowNic,
    StartSshd,
    act_of,
)
from fixtures.images.tilepro import program

MAC, ADDRESS, SERVER = "52:54:00:77:00:05", "10.77.0.105", "10.77.0.10"
ROOT = f"{SERVER}:/n1,vers=4,proto=tcp"
TILE, PC = program(), program(machine=62)

Server = Callable[[Question], object]


def serves(
    question: Question, *, kernel: bytes = TILE, init: bytes | None = TILE, root: str = ROOT
) -> object:
    match question:
        case DhcpDiscover(ask=ask):
            return DhcpOffer(ask, ADDRESS, SERVER, "n1/kernel")
        case DhcpRequest(ask=ask):
            return DhcpAck(ask, ADDRESS, SERVER, "n1/kernel", root)
        case BootpRequest(ask=ask):
            return BootpReply(ask, ADDRESS, SERVER, "n1/kernel", root)
        case TftpRead(ask=ask, file="n1/kernel"):
            return TftpData(ask, 1000, head=kernel[:20])
        case TftpRead(ask=ask):
            return TftpError(ask)
        case NfsRead(ask=ask, file="/sbin/init") if init is not None:
            return NfsData(ask, init[:20])
        case NfsRead(ask=ask):
            return NfsError(ask)
    return None


class Bench:
    def __init__(self, board: TileBoard, server: Server = serves) -> None:
        self.board, self.server = board, server
        self.now_s, self.did = 0.0, list[tuple[float, Output]]()
        self._wake_s: float | None = None

    def give(self, *inputs: object) -> None:
        pending = list(inputs)
        while True:
            update = self.board.update(self.now_s, pending)  # type: ignore[arg-type]
            self._wake_s = update.wake_at_s
            self.did += [(self.now_s, output) for output in update.outputs]
            answers = map(self.server, update.outputs)  # type: ignore[arg-type]
            pending = [answer for answer in answers if answer is not None]
            if not pending:
                return

    def run(self, limit_s: float = 1000.0) -> None:
        while self._wake_s is not None and self._wake_s <= limit_s:
            self.now_s = max(self.now_s, self._wake_s)
            self.give()

    def of(self, kind: type) -> list[Output]:
        return [output for _, output in self.did if isinstance(output, kind)]

    def console(self) -> str:
        return "".join(output.said.decode() for _, output in self.did if isinstance(output, Console))


def booted(server: Server = serves, **options: object) -> Bench:
    bench = Bench(TileBoard(MAC, **options), server)  # type: ignore[arg-type]
    bench.give(PowerOn())
    bench.run()
    return bench


def test_a_board_fetches_its_kernel_and_is_silent_for_its_boot_time_before_it_is_up() -> None:
    bench = Bench(TileBoard(MAC, timing=TileTiming(boot_s=100)))
    bench.give(PowerOn())
    assert not bench.board.up
    bench.run(99.9)
    assert not bench.of(NfsRead)
    bench.run()
    ((at_s, started),) = [(at, out) for at, out in bench.did if isinstance(out, Started)]
    assert (at_s, started.address) == (100.0, ADDRESS)  # type: ignore[union-attr]
    assert (bench.board.up, bench.board.root) == (True, ROOT)
    assert "64 tiles, 8x8 mesh, 16218 MB" in bench.console()


def test_a_kernel_in_compact_flash_is_not_fetched() -> None:
    bench = booted(flash=TILE[:20])
    assert bench.board.up
    assert not bench.of(TftpRead)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (lambda asked: serves(asked, kernel=PC), "kernel n1/kernel is ELF machine 62 (x86-64)"),
        (lambda asked: serves(asked, kernel=b"\x1f\x8b" * 20), "kernel n1/kernel is no ELF file"),
        (lambda asked: serves(asked, init=PC), "init /sbin/init is ELF machine 62 (x86-64)"),
        (lambda asked: serves(asked, init=None), "No init found on 10.77.0.10:/n1"),
        (lambda asked: serves(asked, root=""), "DHCP named no root path"),
        (lambda asked: serves(asked, root="10.77.0.10:/n1"), "it would ask for NFS 2 by udp"),
        (lambda asked: serves(asked, root=f"{ROOT},vers=3"), "it would ask for NFS 3 by tcp"),
        (lambda asked: serves(asked, root="10.77.0.10:/n1,nfsvers=4.2"), "it would ask for NFS 4.2 by udp"),
    ],
)
def test_what_it_cannot_run_is_refused_and_told_on_its_console(server: Server, told: str) -> None:
    bench = booted(server)
    assert not bench.board.up
    assert told in bench.console()
    assert told in bench.board.refused
    assert [hung.why for hung in bench.of(Hung)] == [bench.board.refused]  # type: ignore[attr-defined]


def test_without_an_answer_it_asks_for_ever_and_boots_when_there_is_one() -> None:
    bench = booted(lambda asked: None)
    assert len(bench.of(DhcpDiscover)) > 50
    bench.server = serves
    bench.run(2000)
    assert bench.board.up


def test_a_board_may_ask_by_bootp_and_then_never_by_dhcp() -> None:
    bench = booted(address_by=AddressBy.BOOTP)
    assert bench.board.up
    assert (bench.board.address, bench.board.root) == (ADDRESS, ROOT)
    assert len(bench.of(BootpRequest)) == 1
    assert not bench.of(DhcpDiscover) + bench.of(DhcpRequest)


def test_by_bootp_it_asks_ever_more_seldom_and_then_all_over_again() -> None:
    bench = booted(lambda asked: None, address_by=AddressBy.BOOTP)
    asked_s = [at_s for at_s, output in bench.did if isinstance(output, BootpRequest)]
    assert asked_s[:6] == [0, 1, 3, 7, 16, 17]
    assert "no BOOTP reply was received" in bench.console()
    bench.server = serves
    bench.run(2000)
    assert bench.board.up


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda ask: BootpReply(ask, ADDRESS, SERVER, "", ROOT), "no boot filename received"),
        (lambda ask: DhcpOffer(ask, ADDRESS, SERVER, "n1/kernel"), "no BOOTP reply was received"),
    ],
)
def test_what_is_no_answer_by_bootp_is_none_to_it(answer: Callable[[int], object], told: str) -> None:
    def server(asked: Question) -> object:
        return answer(asked.ask) if isinstance(asked, BootpRequest) else serves(asked)

    bench = booted(server, address_by=AddressBy.BOOTP)
    assert not bench.board.up
    assert told in bench.console()
    flashed = booted(server, address_by=AddressBy.BOOTP, flash=TILE[:20])
    assert flashed.board.up is ("filename" in told), "who has a kernel needs no name of one"


def test_an_nfs_server_that_is_away_is_waited_for() -> None:
    bench = booted(lambda asked: None if isinstance(asked, NfsRead) else serves(asked))
    assert bench.console().count("not responding, still trying") == 1
    bench.server = serves
    bench.run(2000)
    assert bench.board.up


def test_without_power_nothing_is_left_of_it() -> None:
    bench = booted()
    bench.give(PowerOff())
    assert (bench.board.on, bench.board.up, bench.board.address, bench.board.root) == (False, False, "", "")
    bench.give(PowerOn())
    bench.run(5000)
    assert bench.board.up


def test_hangs_where_a_fault_says_and_goes_on_when_it_is_healed() -> None:
    bench = Bench(TileBoard(MAC))
    bench.board.give_faults({"node.hangs": {"at": "kernel", "count": None}}, 0.0)
    bench.give(PowerOn())
    bench.run()
    assert not bench.board.up
    assert [hung.why for hung in bench.of(Hung)] == ["hangs: kernel"]  # type: ignore[attr-defined]
    assert not bench.board.refused
    bench._wake_s = bench.board.give_faults({}, bench.now_s).wake_at_s
    bench.run(5000)
    assert bench.board.up


def test_a_program_of_the_recipe_is_one_of_its_processor() -> None:
    assert (machine_of(TILE), machine_of(PC), machine_of(b"")) == (188, 62, None)


@pytest.mark.parametrize(
    ("line", "act"),
    [
        ("dmesg", Dmesg()),
        ("/bin/uname -m", Say("tilepro\n")),
        ("nproc", Say("64\n")),
        ("hostname", ReadFile("/etc/hostname")),
        ("ifconfig xgbe0", ShowNic()),
        ("ifconfig xgbe0 hw ether 52:54:00:77:00:05", SetMac("52:54:00:77:00:05")),
        ("ifconfig xgbe0 10.0.0.5", SetAddress("10.0.0.5", None)),
        ("ifconfig xgbe0 10.0.0.5 netmask 255.255.0.0", SetAddress("10.0.0.5", 16)),
        ("/usr/sbin/sshd", StartSshd()),
        ("iptables -F INPUT", FilterPackets(("-F", "INPUT"))),
    ],
)
def test_a_command_is_understood(line: str, act: object) -> None:
    assert act_of(line.split()) == act


@pytest.mark.parametrize(
    "line",
    ["", "make", "ifconfig eth7", "ifconfig xgbe0 10.0.0.999", "ifconfig xgbe0 10.0.0.1 mtu 9", "cat x"],
)
def test_what_a_model_does_not_know_is_refused(line: str) -> None:
    assert isinstance(act_of(line.split()), Refuse)
