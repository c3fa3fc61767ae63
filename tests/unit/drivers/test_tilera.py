"""What a Tilera board is offered, and what its monitor is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceUnreachable, HostLacks
from provisioner.core.model import PublicationKind
from provisioner.drivers import tile_monitor
from provisioner.drivers.tile_monitor import TileMonitor, news
from provisioner.drivers.tilera import make_offer
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.children import Argument, ChildResult, ChildTimedOut
from provisioner.services.dnsmasq_config import options
from provisioner.services.icmp_probe import echo, is_reply

ADDRESS = "10.77.0.101"


def entry(kind: PublicationKind) -> BootEntry:
    return BootEntry(
        node_id="u1",
        node_name="n1",
        arch="tilepro64",
        firmware="tilera",
        boot_driver="tilera",
        macs=("52:54:00:77:00:01",),
        addresses=(ADDRESS,),
        kind=kind,
        token="t0",
        files={"kernel": Path("/blob")} if kind is PublicationKind.INSTANCE else {},
        nfs_root=Path("/roots/r1") if kind is PublicationKind.INSTANCE else None,
        nfs_source="10.77.0.10:/r1" if kind is PublicationKind.INSTANCE else "",
    )


def test_an_instances_kernel_is_named_by_its_node_and_its_root_by_dhcp() -> None:
    offer = make_offer(entry(PublicationKind.INSTANCE))
    assert offer.tftp_files == {"u1/kernel": Path("/blob")}
    assert offer.nfs_root == Path("/roots/r1")
    told = options([offer], IPv4Address("10.77.0.10")).splitlines()
    assert "tag:u1,option:bootfile-name,u1/kernel" in told
    assert "tag:u1,option:root-path,10.77.0.10:/r1,vers=4,proto=tcp" in told


def test_a_board_without_an_instance_has_its_address_and_nothing_else() -> None:
    offer = make_offer(entry(PublicationKind.NOTHING))
    assert offer.addresses == (ADDRESS,)
    assert not (offer.boot_files or offer.tftp_files or offer.nfs_root or offer.root_path)


class Programs:
    """`Children` that answer as they are told to."""

    def __init__(self, answer: ChildResult | ChildTimedOut) -> None:
        self.answer = answer
        self.ran: list[list[Argument]] = []

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        self.ran.append(list(argv))
        if isinstance(self.answer, ChildTimedOut):
            raise self.answer
        return self.answer


def monitor(programs: Programs) -> TileMonitor:
    return TileMonitor(programs, Path("/opt/tile-monitor"), timeout_s=3)  # type: ignore[arg-type]


def test_commands_are_given_as_the_vendors_program_takes_them() -> None:
    programs = Programs(ChildResult(0, "", ""))
    asyncio.run(monitor(programs).run(ADDRESS, [("ifconfig", "xgbe0", ADDRESS), ("/usr/sbin/sshd",)]))
    asyncio.run(monitor(programs).dmesg(ADDRESS))
    begin = f"/opt/tile-monitor --resume --net {ADDRESS}"
    assert [" ".join(map(str, argv)) for argv in programs.ran] == [
        f"{begin} --run - ifconfig xgbe0 {ADDRESS} - --wait --run - /usr/sbin/sshd - --wait --quit",
        f"{begin} -- dmesg",
    ]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (ChildResult(1, "", "can't connect\n"), "can't connect"),
        (ChildTimedOut(""), "not done in 3 s. Run the program by hand; tilera.command_timeout_s"),
    ],
)
def test_a_board_that_does_not_do_it_is_told_by_its_words(
    answer: ChildResult | ChildTimedOut, told: str
) -> None:
    with pytest.raises(DeviceUnreachable) as failed:
        asyncio.run(monitor(Programs(answer)).run(ADDRESS, [("reboot",)]))
    assert told in failed.value.message
    assert f"run reboot on board {ADDRESS} by tile-monitor" in failed.value.message


@pytest.mark.parametrize(
    ("known", "text", "fresh"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\n", ""),
        ("a\n", "a\nb\n", "b\n"),
        ("first\n" + "x" * 300 + "\nlast\n", "x" * 280 + "\nlast\nnew\n", "new\n"),
        ("a\nb\n", "booted anew\n", "booted anew\n"),
        ("a\nb\n", "first a\nb\nc\n", "first a\nb\nc\n"),  # a log loses its beginning, and gains none
    ],
)
def test_of_a_log_only_what_is_new_is_told(known: str, text: str, fresh: str) -> None:
    assert news(known, text) == fresh


LINE = "nfs: server 10.77.0.10 not responding\n"
SAME_END = "the same words as ever\n" * 20


@pytest.mark.parametrize(
    "again", ["boot 2\n", "boot 2, with more to say\n", "", "boot 1\nand one line more\n"]
)
def test_a_boot_that_ends_as_the_last_one_did_is_all_told(again: str) -> None:
    booted = again + "card 7\n" + SAME_END
    assert news("boot 1\ncard 1\n" + SAME_END, booted) == booted


@pytest.mark.parametrize("lost", [0, 1, 7, 40], ids="{} characters lost".format)
@pytest.mark.parametrize("gone_on", [1, 2, 40])
def test_of_a_log_that_says_the_same_line_again_and_again_the_new_ones_are_told(
    lost: int, gone_on: int
) -> None:
    known = "boot 1\n" + LINE * 20
    assert news(known, (known + LINE * gone_on)[lost:]) == LINE * gone_on


def test_of_many_new_lines_that_are_alike_no_old_ones_are_told_again() -> None:
    known = "boot 1\n" * 300 + LINE * 20
    assert news(known, (known + LINE * 100)[7:]) == LINE * 100


@pytest.mark.parametrize(
    ("silences", "console"),
    [(0, "stopped\n"), (1, "stopped\n"), (2, "stopped\nstopped\n")],
    ids=["it went on", "its monitor failed once", "it was off"],
)
def test_a_boot_that_says_what_the_last_one_said_is_heard(
    silences: int, console: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_monitor, "CONSOLE_POLL_S", 0.0)
    programs = Programs(ChildResult(0, "stopped\n", ""))
    heard = bytearray()

    async def told(count: int) -> None:
        begun = len(programs.ran)
        while len(programs.ran) < begun + count:
            await asyncio.sleep(0)

    async def story() -> None:
        recording = asyncio.create_task(monitor(programs).console(ADDRESS).capture(heard.extend))
        await told(2)
        if silences:
            programs.answer = ChildTimedOut("")
            await told(silences)
        programs.answer = ChildResult(0, "stopped\n", "")
        await told(3)
        recording.cancel()

    asyncio.run(story())
    assert heard.decode() == console


def test_a_reply_is_known_by_its_identifier_and_a_request_has_a_true_checksum() -> None:
    request = echo(b"abcd")
    total = sum(int.from_bytes(request[at : at + 2], "big") for at in range(0, 8, 2))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    header = bytes((0x45,)) + bytes(19)
    assert is_reply(header + bytes(4) + b"abcd", b"abcd")
    assert not is_reply(header + bytes(4) + b"abce", b"abcd")
    assert not is_reply(header + request, b"abcd")
    assert not is_reply(b"", b"abcd")


def test_a_log_that_is_cut_in_the_midst_of_a_letter_goes_on() -> None:
    known = "hello äöü\n" * 200
    read = (known + "new\n").encode()[7:].decode(errors="replace")  # behind the first byte of a letter
    assert news(known, read) == "new\n"


def test_words_that_are_alike_without_end_are_looked_for_in_a_few_places() -> None:
    known, text = ("\N{GRINNING FACE}" * 60_000 + end for end in ("b", "c"))
    looked: list[int] = []

    class Known(str):
        def find(self, *words: object) -> int:
            looked.append(1)
            return super().find(*words)  # type: ignore[arg-type]

    assert news(Known(known), text) == text
    assert len(looked) <= tile_monitor.MOST_PLACES


def test_a_monitor_that_is_not_there_is_told_by_its_setting() -> None:
    class NoPrograms(Programs):
        async def run(self, *argv: object, **how: object) -> ChildResult:
            raise HostLacks("start /opt/tile-monitor", answer="it is not installed")

    with pytest.raises(HostLacks) as failed:
        asyncio.run(monitor(NoPrograms(ChildResult(0, "", ""))).run(ADDRESS, [("dmesg",)]))
    assert (
        "/opt/tile-monitor isn't there, or isn't executable. Correct tilera.monitor" in failed.value.message
    )


def test_what_a_board_complains_of_is_told_in_a_bounded_way() -> None:
    answer = ChildResult(1, "", "x" * 100_000)
    rules = [("iptables", "-A", "INPUT", "-s", f"10.0.0.{number}", "-j", "DROP") for number in range(64)]
    with pytest.raises(DeviceUnreachable) as failed:
        asyncio.run(monitor(Programs(answer)).run(ADDRESS, rules))
    assert len(failed.value.message) < 1000
