"""A board that boots by U-Boot: what it asks for, what scripts do, and what is left when nothing works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.boot_shell import MAX_COMMANDS, BadScript, Result, Shell, run
from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine
from bmsim.devices.messages import (
    Answer,
    Began,
    Console,
    DhcpAck,
    DhcpDiscover,
    DhcpOffer,
    DhcpRequest,
    Hung,
    PowerOn,
    Question,
    Started,
    SystemKind,
    TftpData,
    TftpError,
    TftpRead,
)
from bmsim.devices.running import Flow
from bmsim.devices.system import Then
from bmsim.devices.timing import UBOOT
from bmsim.devices.uboot import GZIPPED
from bmsim.devices.uboot_image import script_in
from provisioner.core.model import PublicationKind
from provisioner.drivers.uboot import PACKED, SCRIPT, image_of, make_offer, script
from provisioner.protocols.boot import BootEntry
from tests.unit.bmsim_devices.bench import ADDRESS, MAC, SERVER, SYSTEMS, Bench
from tests.unit.drivers.test_uboot import SPECIAL

AGENT = BootEntry(
    node_id="node-1",
    node_name="n1",
    arch="arm64",
    firmware="uboot",
    boot_driver="uboot",
    macs=(MAC,),
    addresses=(ADDRESS,),
    kind=PublicationKind.AGENT,
    token="t0",
    files={"kernel": Path("/k"), "ramdisk": Path("/r")},
    command_line="console=ttyAMA0 provisioner.token=t0",
)
OWN_DISK = replace(AGENT, kind=PublicationKind.LOCAL_DISK, token="", files={})
PACKED_TOO = replace(AGENT, files={**AGENT.files, PACKED: Path("/k.gz")})
Files = Mapping[str, bytes | Path]
NO_SIZES: Mapping[str, int] = MappingProxyType({})


def serving(
    files: Files, boot_file: str = "", sizes: Mapping[str, int] = NO_SIZES
) -> Callable[[Question], Answer | None]:
    """boot_file: none is named to U-Boot, which asks for its own. sizes: in bytes, of files by path."""

    def serve(asked: Question) -> Answer | None:
        match asked:
            case DhcpDiscover():
                return DhcpOffer(asked.ask, ADDRESS, SERVER, boot_file)
            case DhcpRequest():
                return DhcpAck(asked.ask, ADDRESS, SERVER, boot_file)
            case TftpRead():
                if (content := files.get(asked.file.lstrip("/"))) is None:
                    return TftpError(asked.ask, "Access violation")
                if isinstance(content, bytes):
                    return TftpData(asked.ask, len(content), head=content)
                head = GZIPPED if content.suffix == ".gz" else b""
                return TftpData(asked.ask, sizes.get(asked.file, MIB), head=head)
        return None

    return serve


def board(server: Callable[[Question], Answer | None], *, content: str = "", arch: str = "arm64") -> Bench:
    machine = Machine(
        (MAC,),
        SYSTEMS,
        firmware=Firmware(f"uboot_{arch}"),
        order=(BootDevice.NETWORK, BootDevice.DISK),
        timing=UBOOT,
        disk=Disk(64 * MIB, content=content),
    )
    bench = Bench(machine, server)
    bench.give(PowerOn())
    bench.run(lambda output: isinstance(output, Started | Hung), limit_s=600)
    return bench


def asked_for(bench: Bench) -> list[str]:
    return [output.file for output in bench.outputs if isinstance(output, TftpRead)]


def clients(bench: Bench) -> list[str]:
    asked = (output.client for output in bench.outputs if isinstance(output, DhcpDiscover))
    return list(dict.fromkeys(asked))


def said(bench: Bench) -> str:
    return b"".join(output.said for output in bench.outputs if isinstance(output, Console)).decode()


@pytest.mark.parametrize("arch", ["arm64", "armhf"])
def test_a_board_boots_what_the_script_of_the_provisioner_loads(arch: str) -> None:
    bench = board(serving(make_offer(replace(AGENT, arch=arch)).tftp_files), arch=arch)
    started = bench.machine.running
    assert started is not None
    assert (started.kind, started.command_line) == (SystemKind.AGENT, AGENT.command_line)
    assert asked_for(bench) == [SCRIPT, "kernel", "ramdisk"]
    assert clients(bench)[0] == {"arm64": "U-Boot.armv8", "armhf": "U-Boot.armv7"}[arch]
    assert "provisioner: node n1 boots the deploy ramdisk" in said(bench)


@pytest.mark.parametrize("line", SPECIAL)
def test_a_kernel_is_given_every_letter_of_its_command_line(line: str) -> None:
    bench = board(serving(make_offer(replace(AGENT, command_line=f"provisioner.token=t0 {line}")).tftp_files))
    started = bench.machine.running
    assert started is not None and started.command_line == f"provisioner.token=t0 {line}"


def test_a_board_whose_gzipped_kernel_is_gone_boots_the_one_as_it_is() -> None:
    offered = make_offer(PACKED_TOO).tftp_files
    bench = board(serving({name: content for name, content in offered.items() if name != PACKED}))
    assert asked_for(bench) == [SCRIPT, PACKED, "kernel", "ramdisk"]
    started = bench.machine.running
    assert started is not None and started.kind is SystemKind.AGENT


def with_a_gzipped_kernel(text: str, ramdisk_mib: int, kernel_mib: int = 10) -> Bench:
    """text: the script."""
    files = {**make_offer(PACKED_TOO).tftp_files, SCRIPT: image_of(text, "arm64")}
    return board(serving(files, sizes={"ramdisk": ramdisk_mib * MIB, PACKED: kernel_mib * MIB}))


@pytest.mark.parametrize("ramdisk_mib", [40, 127, 128, 160, 400])
@pytest.mark.parametrize(
    "named",
    [
        "",
        "setenv kernel_comp_addr_r 4c000000",  # 128 MiB past where the ramdisk begins
        "setenv kernel_comp_addr_r 0x44000000",
        "setenv kernel_comp_addr_r 70000000",
        "setenv kernel_addr_r 48000000; setenv ramdisk_addr_r 4a000000; setenv kernel_comp_addr_r 40400000",
    ],
)
def test_a_gzipped_kernel_leaves_a_ramdisk_of_any_size_alone(named: str, ramdisk_mib: int) -> None:
    bench = with_a_gzipped_kernel(f"{named}\n{script(PACKED_TOO)}", ramdisk_mib)
    started = bench.machine.running
    assert started is not None and started.kind is SystemKind.AGENT
    assert asked_for(bench) == [SCRIPT, PACKED, "ramdisk"]


@pytest.mark.parametrize(
    ("named", "unpacked_at"),
    [
        ("", "4e000000"),
        ("44000000", "4e000000"),
        ("4dffffff", "4e000000"),
        ("4e000000", "4e000000"),
        ("0x43000000", "0x43000000"),
    ],
)
def test_a_kernel_is_unpacked_where_its_board_says_unless_the_ramdisk_lies_there(
    named: str, unpacked_at: str
) -> None:
    text = script(PACKED_TOO).replace("echo provisioner: kernel", "echo at ${kernel_comp_addr_r}, kernel")
    bench = with_a_gzipped_kernel(f"setenv kernel_comp_addr_r {named}\n{text}", ramdisk_mib=159)
    assert f"at {unpacked_at}, kernel" in said(bench)


@pytest.mark.parametrize(
    ("unpacked_at", "kernel_mib"), [("45000000", 10), ("44000000", 10), ("43000000", 10), ("50000000", 21)]
)
def test_a_board_whose_kernel_is_unpacked_over_its_ramdisk_does_not_come_up(
    unpacked_at: str, kernel_mib: int
) -> None:
    text = f"""
        tftpboot ${{kernel_addr_r}} ${{serverip}}:{PACKED}; setenv kernel_comp_size ${{filesize}}
        tftpboot ${{ramdisk_addr_r}} ${{serverip}}:ramdisk; setenv kernel_comp_addr_r {unpacked_at}
        booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:${{filesize}} ${{fdtcontroladdr}}
    """
    bench = with_a_gzipped_kernel(text, ramdisk_mib=40, kernel_mib=kernel_mib)
    assert bench.outputs[-1] == Hung("kernel panic: the kernel was unpacked over its ramdisk")


def test_a_board_that_is_told_no_place_to_unpack_a_kernel_fetches_it_as_it_is() -> None:
    text = script(PACKED_TOO).replace("setenv kernel_comp_size", "echo")
    bench = with_a_gzipped_kernel(text, ramdisk_mib=40)
    assert "kernel_comp_addr_r or kernel_comp_size is not provided!" in said(bench)
    assert asked_for(bench) == [SCRIPT, PACKED, "ramdisk", "kernel"]
    assert bench.machine.running is not None


def test_a_script_of_the_other_architecture_starts_nothing() -> None:
    bench = board(serving(make_offer(replace(AGENT, arch="armhf")).tftp_files))
    assert "Unknown command 'bootz'" in said(bench)
    assert bench.machine.running is None


def test_a_board_is_handed_over_to_its_own_disk() -> None:
    bench = board(serving(make_offer(OWN_DISK).tftp_files), content="debian")
    started = bench.machine.running
    assert started is not None
    assert (started.kind, started.name) == (SystemKind.INSTANCE, "debian")
    assert asked_for(bench) == [SCRIPT]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("bootable", ["mmc1", ""])
def test_a_board_with_standard_boot_is_handed_over_to_its_own_disk(full: bool, bootable: str) -> None:
    """It has boot_targets, and no bootcmd_mmc1. Its short form knows no flags (U-Boot, cmd/bootflow.c)."""
    variables = {"boot_targets": "dhcp mmc1 usb0 pxe"}
    did: list[str] = []

    def execute(words: Sequence[str]) -> Flow[Result]:
        yield from ()
        match list(words):
            case ["setenv", name, *values]:
                variables[name] = " ".join(values)
            case ["test", "-z" | "-n" as which, *word]:
                return 0 if bool("".join(word)) is (which == "-n") else 1
            case ["test", left, "!=", right]:
                return 0 if left != right else 1
            case ["run", name]:
                did.append(f"{name} not defined")
                return 1
            case ["bootflow", "scan", *flags]:
                if flags and not full:
                    return 1
                did.append(f"scans {variables['boot_targets']}")
                return Then.NEXT_DEVICE if bootable in variables["boot_targets"].split() else 1
            case ["reset"]:
                did.append("reset")
                return Then.REBOOT
        return 0

    walk = run(script(OWN_DISK), variables, execute)
    with pytest.raises(StopIteration) as ended:
        next(walk)
    scans = ["scans mmc1 usb0"] * (2 if full and not bootable else 1)
    assert did == [
        "bootcmd_mmc1 not defined",
        "bootcmd_usb0 not defined",
        *scans,
        *(["reset"] * (not bootable)),
    ]
    assert ended.value.value is (Then.NEXT_DEVICE if bootable else Then.REBOOT)
    if not bootable:  # what it found by itself was this script again
        did.clear()
        with pytest.raises(StopIteration):
            next(run(script(OWN_DISK), variables, execute))
        assert did[-1] == "reset" and "scans mmc1 usb0" not in did


@pytest.mark.parametrize("content", ["debian", ""])
def test_a_board_that_is_offered_nothing_plays_uefi_and_then_boots_its_disk_if_it_can(content: str) -> None:
    bench = board(serving({}), content=content)
    assert asked_for(bench) == [SCRIPT, "0A00000B.img"]
    assert clients(bench)[:2] == ["U-Boot.armv8", "PXEClient:Arch:00011:UNDI:003000"]
    assert (bench.machine.running is not None) == bool(content)
    assert ("=> " in said(bench)) == (not content)


def test_what_cannot_be_loaded_makes_it_begin_anew() -> None:
    files = dict(make_offer(AGENT).tftp_files)
    del files["ramdisk"]
    bench = board(serving(files))
    assert Began(by_guest=True) in bench.outputs
    assert asked_for(bench)[:4] == [SCRIPT, "kernel", "ramdisk", SCRIPT]


def test_where_nobody_answers_it_waits_for_somebody_to_type() -> None:
    bench = board(lambda asked: None)
    assert bench.machine.running is None
    assert 50 < bench.now_s < 70, "twice as long as it asks"
    assert bench.outputs[-1] == Hung("nothing to boot: U-Boot waits at its prompt")


def test_a_script_that_was_damaged_is_not_run() -> None:
    image = image_of("echo hello\n", "arm64")
    assert script_in(image) == "echo hello\n"
    for place in (0, 5, 30, len(image) - 1):
        damaged = bytes((*image[:place], image[place] ^ 1, *image[place + 1 :]))
        assert script_in(damaged) is None
    assert script_in(image[:-1]) is None
    assert script_in(b"") is None
    assert "Wrong image format" in said(board(serving({SCRIPT: image[:-1]})))


# --- its shell ----------------------------------------------------------------------------------------


def shown(script: str, shell: Shell = Shell.UBOOT, **variables: str) -> list[str]:
    """What its commands were given; `false` fails, all else succeeds."""
    ran: list[str] = []

    def execute(words: object) -> Flow[Result]:
        assert isinstance(words, list)
        ran.append(" ".join(words))
        return 1 if words[0] == "false" else 0
        yield 0.0

    def walk() -> Flow[Result]:
        return (yield from run(script, variables, execute, shell))

    assert list(walk()) == []
    return ran


@pytest.mark.parametrize(
    ("script", "ran"),
    [
        ("a; b\nc # no more\n# nothing", ["a", "b", "c"]),
        ("a && b || c", ["a", "b"]),
        ("false && b || c", ["false", "c"]),
        ("if false; then a; else b; fi; c", ["false", "b", "c"]),
        ("if a && b; then c\nfi", ["a", "b", "c"]),
        ("for one in ${list} z; do echo ${one}; done", ["echo x", "echo y", "echo z"]),
        ("a '${list}' \"${list}\" ${list}", ["a ${list} x y x y"]),
        ("a ${list}:${none}b", ["a x y:b"]),
        ("${none}", []),
        ("a b#c", ["a b#c"]),
    ],
)
def test_a_script_is_run_as_u_boots_shell_does(script: str, ran: list[str]) -> None:
    assert shown(script, list="x y") == ran


@pytest.mark.parametrize(
    ("word", "by_uboot", "by_grub"),
    [
        (r"'x\y \\z \.'", r"xy \z .", r"x\y \\z \."),
        (r'"x\y \\ \" \$z"', r"x\y \\ \" \$z", r'x\y \ " $z'),
        (r"x\\y\'z\$a\;", r"x\y'z$a;", r"x\y'z$a;"),
        (r"'a'\\''b", r"a\b", r"a\b"),
    ],
)
def test_backslashes_are_dropped_or_kept_as_the_real_shells_do(
    word: str, by_uboot: str, by_grub: str
) -> None:
    assert shown(f"a {word}", z="no", a="no") == [f"a {by_uboot}"]
    assert shown(f"a {word}", Shell.GRUB, z="no", a="no") == [f"a {by_grub}"]


@pytest.mark.parametrize(
    "script", ["if a; then b", "fi", "for x in y; do z", "a &&", "&& a", "for x; do y; done", "a 'b"]
)
def test_a_script_that_is_not_understood_runs_nothing(script: str) -> None:
    with pytest.raises(BadScript):
        shown(script)


def test_a_script_does_not_go_round_for_ever() -> None:
    with pytest.raises(BadScript, match="round and round"):
        shown("for x in ${many}; do a; done", many="x " * (MAX_COMMANDS + 1))
