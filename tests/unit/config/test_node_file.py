from __future__ import annotations

import pytest

from provisioner.config.node_file import NodeFile
from provisioner.config.source import parse
from provisioner.core.errors import InvalidInput
from tests.unit.config.test_source import NODE


def refusal(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(text, NodeFile, "nodes.yaml")
    return caught.value


def test_a_hand_written_node_needs_little() -> None:
    (node,) = parse(NODE, NodeFile, "nodes.yaml").nodes
    assert (node.firmware, node.boot, node.deploy) == ("bios", "ipxe", "iscsi")
    assert node.power.shown() == {"address": "10.78.0.101", "port": 623, "user": "admin"}
    assert node.power.secrets() == {"password": "open-sesame"}


def test_what_a_rack_prints_of_itself_can_be_enrolled() -> None:
    printed = """
nodes:
- {name: n1, arch: x86_64, firmware: uefi, vcpus: 2, memory_mib: 1024, disk_mib: 4096, boot: ipxe,
   ports: [{mac: '52:54:00:77:00:01'}],
   power: {driver: ipmi, address: 10.78.0.101, port: 623, user: admin, password: open-sesame}}
"""
    (node,) = parse(printed, NodeFile, "nodes.yaml").nodes
    assert (node.name, node.firmware, node.disk_mib) == ("n1", "uefi", 4096)
    assert node.power.secrets() == {"password": "open-sesame"}


def test_a_disk_that_is_to_be_kept_is_named_by_something() -> None:
    kept = NODE + "    keep_disks: [{model: SC16G}, {path: /dev/mmcblk1}]\n"
    (node,) = parse(kept, NodeFile, "nodes.yaml").nodes
    assert [disk.model_dump(exclude_none=True) for disk in node.keep_disks] == [
        {"model": "SC16G"},
        {"path": "/dev/mmcblk1"},
    ]
    assert "say which disk" in refusal(kept.replace("model: SC16G", "")).message, "{} would be any"


TILE = """
nodes:
- {name: n1, arch: tilepro64, firmware: tilera, vcpus: 64, memory_mib: 16218, disk_mib: 0,
   boot: tilera, deploy: nfs, ports: [{mac: '52:54:00:77:00:01'}],
   power: {driver: snmp, family: apc_rackpdu, address: 10.78.0.201, outlets: [5], community: private}}
"""


def test_a_tilera_board_is_enrolled_by_what_its_file_says() -> None:
    (node,) = parse(TILE, NodeFile, "nodes.yaml").nodes
    assert (node.arch, node.boot, node.deploy, node.memory_mib) == ("tilepro64", "tilera", "nfs", 16218)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("deploy: nfs", "deploy: iscsi", "say deploy: nfs"),
        ("boot: tilera", "boot: ipxe", "arch: tilepro64 can't boot by ipxe: say boot: tilera"),
        ("firmware: tilera", "firmware: uboot", "not what firmware: uboot can do: say firmware: tilera"),
        ("arch: tilepro64", "arch: arm64", "arch: arm64 can't boot by tilera: say boot: uboot or grub"),
        ("disk_mib: 0", "disk_mib: 500000", "say disk_mib: 0"),
        ("disk_mib: 0", "disk_mib: 0, keep_disks: [{model: A}]", "neither root_device nor keep_disks"),
        ("disk_mib: 0", "disk_mib: 0, root_device: {model: A}", "neither root_device nor keep_disks"),
    ],
)
def test_a_board_that_cannot_boot_that_way_is_refused(old: str, new: str, told: str) -> None:
    assert told in refusal(TILE.replace(old, new)).message


def test_mac_addresses_are_kept_in_lower_case() -> None:
    text = NODE.replace("52:54:00:77:00:01", "52:54:00:AB:CD:EF")
    assert parse(text, NodeFile, "nodes.yaml").nodes[0].ports[0].mac == "52:54:00:ab:cd:ef"


def test_a_mac_address_that_yaml_takes_for_a_number_is_told_how_to_write() -> None:
    error = refusal(NODE.replace('"52:54:00:77:00:01"', "52:54:00:12:34:56"))
    assert error.field == "nodes[0].ports[0].mac"
    assert "in quotes" in error.message


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("x86_64", "sparc", "nodes[0].arch"),
        ("vcpus: 2", "vcpus: 0", "nodes[0].vcpus"),
        ("name: n1", "name: 'n 1'", "nodes[0].name"),
        ('[{mac: "52:54:00:77:00:01"}]', "[]", "nodes[0].ports"),
        ("52:54:00:77:00:01", "52:54:00:77:00", "nodes[0].ports[0].mac"),
        ("driver: ipmi", "driver: carrier-pigeon", "nodes[0].power"),
        ("10.78.0.101", "'-oProxyCommand=x'", "nodes[0].power.address"),
        ("user: admin", "user: a-user-longer-than-ipmi-has", "nodes[0].power.user"),
        ("    vcpus: 2\n", "", "nodes[0].vcpus"),
    ],
)
def test_what_cannot_be_enrolled_is_told_by_field(old: str, new: str, field: str) -> None:
    assert refusal(NODE.replace(old, new)).field == field


def test_a_mistyped_secret_is_refused_and_not_repeated() -> None:
    error = refusal(NODE.replace("password:", "pasword:"))
    assert "nodes[0].power.pasword" in error.message
    assert "open-sesame" not in error.message


def test_a_bad_password_is_not_repeated() -> None:
    error = refusal(NODE.replace("open-sesame", "open-sesame-and-a-good-deal-more"))
    assert error.field == "nodes[0].power.password"
    assert "sesame" not in error.message


def test_passwords_do_not_show_in_what_the_file_became() -> None:
    assert "sesame" not in repr(parse(NODE, NodeFile, "nodes.yaml"))


def test_a_node_or_mac_address_that_is_there_twice_is_refused() -> None:
    again = NODE + NODE.removeprefix("nodes:\n")
    assert "line 9, nodes[1].name: node n1 is there twice" in refusal(again).message
    error = refusal(again.replace("n1", "n2", 1))
    assert "line 14, nodes[1].ports[0].mac: MAC address 52:54:00:77:00:01 is there twice" in error.message
    assert error.field == "nodes[1].ports[0].mac"


def test_units_of_two_nodes_that_are_taken_for_one_are_told_how_they_are_two() -> None:
    power = "{driver: snmp, family: auto, address: 10.78.0.203, outlets: [3], community: c"
    nodes = "nodes:\n" + "".join(
        f"- {{name: n{number}, arch: arm64, firmware: uboot, boot: uboot, vcpus: 1, memory_mib: 256, "
        f"disk_mib: 512, ports: [{{mac: '52:54:00:77:00:0{number}'}}], power: {power}, unit: '{number}'}}}}\n"
        for number in (0, 1)
    )
    told = "outlet 3 of PDU 10.78.0.203:161 is there twice; of units in a chain, name family and "
    assert told in refusal(nodes).message
    assert len(parse(nodes.replace("auto", "eatonpower"), NodeFile, "nodes.yaml").nodes) == 2


def test_a_reserved_address_that_is_there_twice_is_refused() -> None:
    one = NODE.replace('01"}', '01", address: 10.77.0.9}')
    again = one + one.removeprefix("nodes:\n").replace("n1", "n2").replace('01"', '02"')
    assert "nodes[1].ports[0].address: address 10.77.0.9 is there twice" in refusal(again).message


def test_what_follows_from_a_mistake_is_not_told_beside_it() -> None:
    told = refusal(NODE.replace("52:54:00:77:00:01", "zz")).message
    assert told.count("line ") == 1
    assert "nodes: it has 1 at least" in refusal("nodes: []").message


@pytest.mark.parametrize(
    ("power", "told"),
    [
        ("{driver: snmp, address: 10.0.0.1, outlets: 8}", "outlets: it is a list: write it in [ ]"),
        ("{driver: snmp, address: 10.0.0.1, outlets: []}", "outlets: it has 1 at least"),
        ("{address: 10.0.0.1}", "nodes[0].power: it has no driver, which says what else there is"),
    ],
)
def test_what_is_wrong_is_told_in_words_of_the_file(power: str, told: str) -> None:
    written = NODE[: NODE.index("power:")] + f"power: {power}\n"
    assert told in refusal(written).message


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("arch: arm64", "arch: arm64 can't boot by ipxe"),
        ("arch: x86_64, firmware: uboot", "boot: ipxe is not what firmware: uboot can do"),
        ("arch: x86_64, firmware: uboot, boot: uboot", "arch: x86_64 can't boot by uboot"),
        ("arch: arm64, firmware: uefi", "arch: arm64 can't boot by ipxe"),
        ("arch: arm64, firmware: uboot, boot: grub", "boot: grub is not what firmware: uboot can do"),
        ("arch: armhf, firmware: uefi, boot: grub", "arch: armhf can't boot by grub"),
    ],
)
def test_firmware_architecture_and_boot_must_fit_each_other(fields: str, why: str) -> None:
    text = f"""
nodes:
- {{name: n1, {fields}, vcpus: 2, memory_mib: 1024, disk_mib: 4096, ports: [{{mac: '52:54:00:77:00:01'}}],
   power: {{driver: ipmi, address: 10.78.0.101, user: admin, password: open-sesame}}}}
"""
    assert why in refusal(text).message
