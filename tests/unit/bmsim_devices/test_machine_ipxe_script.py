from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.messages import (
    Answer,
    Began,
    DhcpDiscover,
    HttpAnswer,
    HttpGet,
    Hung,
    PowerOn,
    Question,
    Started,
    Stopped,
    SystemKind,
)
from provisioner.core.model import PublicationKind
from provisioner.drivers.ipxe import script
from provisioner.protocols.boot import BootEntry
from tests.unit.bmsim_devices.bench import ADDRESS, MAC, URL, Bench, Network, bench, hung, started


def published(kind: PublicationKind, command_line: str = "") -> str:
    """What the provisioner really gives a node."""
    entry = BootEntry(
        node_id="1",
        node_name="n1",
        arch="x86_64",
        firmware="bios",
        macs=(MAC,),
        addresses=(ADDRESS,),
        kind=kind,
        token="t0",
        files={},
        command_line=command_line,
    )
    return script(entry, URL)


def said(body: str, firmware: Firmware = Firmware.BIOS_IPXE) -> list[str]:
    """The lines that a script has its machine say."""
    rack = bench(firmware, Network(f"#!ipxe\n{body}\n"))
    rack.give(PowerOn())
    rack.run(hung)
    lines = rack.console.split("boot.ipxe... ok\r\n")[1].split("\r\n")
    return (
        lines[: lines.index("Booting from Hard Disk...")] if "Booting from Hard Disk..." in lines else lines
    )


def test_the_provisioners_script_boots_the_agent() -> None:
    rack = bench(server=Network(published(PublicationKind.AGENT, "console=ttyS0 provisioner.token=t0")))
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running is not None
    assert rack.machine.running.command_line == "initrd=ramdisk console=ttyS0 provisioner.token=t0"
    assert "provisioner: node n1 boots the deploy ramdisk" in rack.console


def test_the_provisioners_script_boots_an_instance() -> None:
    rack = bench(server=Network(published(PublicationKind.INSTANCE, "root=UUID=1234 ro")))
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running is not None
    assert rack.machine.running.kind is SystemKind.INSTANCE
    assert rack.machine.running.command_line == "initrd=ramdisk root=UUID=1234 ro"


@pytest.mark.parametrize("firmware", list(Firmware))
def test_the_provisioners_script_boots_the_disk(firmware: Firmware) -> None:
    disk = Disk(128 * MIB, content="debian")
    rack = bench(firmware, Network(published(PublicationKind.LOCAL_DISK)), disk=disk)
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running is not None
    assert rack.machine.running.name == "debian"
    tried_by_ipxe = "SAN device" in rack.console
    assert tried_by_ipxe is (firmware in (Firmware.BIOS, Firmware.BIOS_IPXE))


def without_ramdisk() -> tuple[Network, Bench]:
    network = Network(published(PublicationKind.AGENT, "provisioner.token=t0"))
    del network.files["ramdisk"]
    rack = bench(server=network)
    rack.give(PowerOn())
    return network, rack


def test_the_provisioners_script_tries_again_and_says_why() -> None:
    network, rack = without_ramdisk()
    rack.run(lambda output: isinstance(output, HttpGet) and output.url.endswith("ramdisk"))
    network.files["ramdisk"] = MIB
    rack.run(started)
    assert "provisioner: that failed: 2d0c613b" in rack.console
    assert rack.all(Started)


def test_the_provisioners_script_restarts_the_machine_after_five_tries() -> None:
    _, rack = without_ramdisk()
    rack.run(lambda output: output == Began(by_guest=True))
    asked = [output for output in rack.outputs if isinstance(output, HttpGet) and "ramdisk" in output.url]
    assert len(asked) == 5
    assert Stopped("it restarts") in rack.outputs or rack.outputs[-1] == Began(by_guest=True)
    rack.run(lambda output: isinstance(output, DhcpDiscover))
    assert rack.all(DhcpDiscover)


def test_words_of_a_setting_are_those_of_the_command() -> None:
    assert said("set words:string one two\necho ${words} ${nothing}three") == ["one two three"]


def test_numbers_are_counted_up() -> None:
    assert said("set n:int32 3\ninc n\ninc n 0x10\necho ${n:int32}") == ["20"]


def test_a_failed_command_ends_the_script_unless_something_follows_it() -> None:
    lines = said("isset ${nothing} || echo one\nisset ${nothing}\necho two")
    assert lines[0] == "one"
    assert "two" not in lines


def test_comments_and_labels_are_skipped_and_goto_finds_them() -> None:
    assert said("# nothing\ngoto there\necho no\n:there\necho yes # not this") == ["yes"]


def test_a_label_that_is_not_there_ends_the_script() -> None:
    assert said("goto nowhere\necho no") == ["Could not boot image: (https://ipxe.org/2d04e03b)"]


def test_a_command_that_is_not_there_fails() -> None:
    assert said("frobnicate ||\necho ${errno}") == ["frobnicate: command not found", "2e852001"]


def test_nothing_to_boot_is_no_boot() -> None:
    assert said("boot ||\necho ${errno}") == ["2e008081"]


def test_images_that_were_freed_are_gone() -> None:
    lines = said(f"kernel {URL}/kernel one\nimgfree\nboot || echo gone")
    assert lines[-1] == "gone"


def test_a_kernel_may_be_named_relative_to_the_script() -> None:
    rack = bench(server=Network("#!ipxe\nkernel kernel provisioner.token=1\nboot"))
    rack.give(PowerOn())
    rack.run(started)
    assert rack.all(Started)


def test_a_script_may_hand_over_to_another() -> None:
    network = Network(f"#!ipxe\nchain {URL}/other")

    def server(question: Question) -> Answer | None:
        if isinstance(question, HttpGet) and question.url.endswith("other"):
            return HttpAnswer(question.ask, 200, 20, "#!ipxe\npoweroff")
        return network(question)

    rack = bench(server=server)
    rack.give(PowerOn())
    rack.run()
    assert not rack.machine.on


def test_a_script_asks_dhcp_again() -> None:
    rack = bench(server=Network("#!ipxe\ndhcp && echo ${ip} || echo none\nexit"))
    rack.give(PowerOn())
    rack.run(hung)
    assert ADDRESS in rack.console
    assert len([o for o in rack.outputs if isinstance(o, DhcpDiscover)]) == 2


def test_a_script_that_spins_hangs_its_machine() -> None:
    rack = bench(server=Network("#!ipxe\n:again\ngoto again"))
    rack.give(PowerOn())
    rack.run(hung)
    assert rack.outputs[-1] == Hung("its boot script goes round and round")


def test_a_shell_waits_for_somebody() -> None:
    rack = bench(server=Network("#!ipxe\nshell"))
    rack.give(PowerOn())
    rack.run(hung)
    assert rack.outputs[-1] == Hung("waits for somebody to type, at iPXE's prompt")


@given(
    st.lists(
        st.tuples(st.sampled_from(("isset yes", "isset", "")), st.sampled_from(("||", "&&", ";"))), max_size=6
    )
)
def test_commands_are_chained_from_left_to_right(chain: list[tuple[str, str]]) -> None:
    expected = True
    wanted = True
    for command, operator in chain:
        if wanted:
            expected = command != "isset"
        wanted = {"||": not expected, "&&": expected, ";": True}[operator]
    line = " ".join(f"{command} {operator}" for command, operator in chain)
    lines = said(f"{line} echo went on\necho next line")
    assert ("went on" in lines) is wanted
    assert ("next line" in lines) is (wanted or expected)


_WORDS = st.sampled_from(
    [
        "echo",
        "set",
        "inc",
        "iseq",
        "isset",
        "goto",
        "kernel",
        "initrd",
        "boot",
        "imgfree",
        "sanboot",
        "chain",
        "exit",
        "reboot",
        "dhcp",
        "sleep",
        "1",
        "x",
        "a",
        "--name",
        ":a",
        "||",
        "&&",
        ";",
        "#",
        "${x}",
        "${errno}",
    ]
)


@given(st.lists(st.lists(_WORDS, max_size=6), max_size=8))
def test_no_script_breaks_the_machine(lines: list[list[str]]) -> None:
    rack = bench(server=Network("\n".join(["#!ipxe", *(" ".join(line) for line in lines)])))
    rack.give(PowerOn())
    rack.run(lambda output: isinstance(output, Hung | Started), limit_s=200)
    assert rack.machine.on
