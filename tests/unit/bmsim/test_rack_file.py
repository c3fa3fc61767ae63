from __future__ import annotations

from pathlib import Path

import pytest

from bmsim.rack.errors import RackError
from bmsim.rack.inventory import inventory
from bmsim.rack.spec import Rack, ipv6_prefix
from bmsim.rack.yaml_source import load, parse, value
from tests.unit.bmsim.racks import TEXT, rack

FIXTURES = Path(__file__).parents[3] / "fixtures/racks"


def refusal(text: str) -> str:
    with pytest.raises(RackError) as refused:
        parse(text, Rack, "rack.yaml")
    assert refused.value.code == 2
    return str(refused.value)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_rack_that_comes_with_the_project_is_well_formed(path: Path) -> None:
    assert load(path, Rack).nodes


def test_what_is_left_out_has_a_sensible_value() -> None:
    node = rack().node("n2")
    assert node is not None
    assert (node.arch, node.vcpus, node.memory_mib) == ("x86_64", 1, 1024)
    assert node.nics[0].network == "provisioning"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("memory_mib: 1024", "memory_mib: lots", "rack.yaml:12: nodes[0].memory_mib: "),
        ("firmware: uefi", "firmware: openfirmware", "rack.yaml:17: nodes[1].firmware: "),
        (
            "    vcpus: 2\n",
            "    vcpus: 2\n    colour: red\n",
            "rack.yaml:12: nodes[0].colour: there is no such field; there are: name, ",
        ),
        ("user: admin, password: battery-staple", "user: admin", "nodes[1].bmc.password: Field required"),
        ("subnet: 10.77.0.0/24", "subnet: 10.77.0.1/24", "rack.yaml:3: networks.provisioning.subnet: "),
        ("52:54:00:77:00:01", "53:54:00:77:00:01", "multicast"),
        ("52:54:00:77:00:01", "00:00:00:00:00:00", "it is all zeros"),
        ("52:54:00:77:00:01", "5254.0077.0001", "looks like 52:54:00:77:00:01"),
        (
            "52:54:00:77:00:02",
            "52:54:00:77:00:01",
            ":19: nodes[1].nics[0].mac: MAC address 52:54:00:77:00:01 is given",
        ),
        (
            "10.78.0.102",
            "10.78.0.101",
            ":20: nodes[1].bmc.address: address 10.78.0.101 is given twice",
        ),
        (
            "10.78.0.102",
            "10.79.0.102",
            ":20: nodes[1].bmc.address: the BMC of node n2 has 10.79.0.102",
        ),
        ("10.78.0.102", "10.78.0.255", "no host address"),
        (
            "10.77.0.10,",
            "10.78.0.10,",
            ":6: compute_hosts[0].provisioning_address: compute host ch1 has",
        ),
        ("10.78.0.0/24", "10.77.0.0/16", "networks.management.subnet: the networks overlap"),
        ("subnet: 10.77.0.0/24", "subnet: 127.0.0.0/24", "rack.yaml:3: networks.provisioning.subnet: "),
        ("10.78.0.0/24", "224.0.0.0/24", "which are no single host's"),
        ("name: n2", "name: n1", "rack.yaml:16: nodes[1].name: node n1 is given twice"),
        ("name: n2", "name: ch1", "rack.yaml:16: nodes[1].name: a node and a compute host are called ch1"),
        ("name: n2", "name: ../n2", "nodes[1].name"),
        ("password: battery-staple", "password: a-password-of-21-chars", "more than 20 bytes"),
        ("password: battery-staple", "password: ääääääääääh", "more than 20 bytes"),
        ("password: battery-staple", r'password: "battery\nstaple"', "control character"),
    ],
)
def test_a_mistake_is_told_with_its_place(right: str, wrong: str, told: str) -> None:
    assert TEXT.count(right) == 1
    assert told in refusal(TEXT.replace(right, wrong))


def test_all_mistakes_are_told_at_once() -> None:
    told = refusal(TEXT.replace("vcpus: 2", "vcpus: 0").replace("uefi", "none"))
    assert [line.split(" ")[1] for line in told.splitlines()] == ["nodes[0].vcpus:", "nodes[1].firmware:"]


@pytest.mark.parametrize("text", ["", "- one\n- two\n", "just words"])
def test_a_file_that_is_no_rack_at_all_is_refused(text: str) -> None:
    assert refusal(text).startswith("rack.yaml:1: ")


def test_a_file_that_is_no_yaml_is_refused_with_the_line() -> None:
    assert refusal(TEXT + "nodes: [\n").startswith("rack.yaml:22: not YAML")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("name: 2026-99-99\n", "rack.yaml:21: not YAML: month must be in 1..12"),
        ("name: other\n", "rack.yaml:21: name: it is there already, in line 1"),
        ("pdus: " + "[" * 600 + "\n", "rack.yaml: it is nested too deeply"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: str, told: str) -> None:
    assert refusal(TEXT + wrong).startswith(told)


def test_what_a_node_takes_over_from_another_may_be_replaced() -> None:
    text = TEXT.replace("  - name: n1\n", "  - &n1\n    name: n1\n").replace("bmc: {", "bmc: &bmc {", 1)
    own = "nics: [{mac: 52:54:00:77:00:03}], bmc: {<<: *bmc, address: 10.78.0.103}"
    found = parse(f"{text}  - {{<<: *n1, name: n3, {own}}}\n", Rack, "rack.yaml")
    one, other = found.node("n1"), found.node("n3")
    assert one is not None and other is not None
    assert (other.vcpus, other.disks, other.nics[0].mac) == (one.vcpus, one.disks, "52:54:00:77:00:03")


def test_a_word_that_is_no_yaml_is_refused() -> None:
    assert value("[1, two]") == [1, "two"]
    for word in ("[:", "2026-99-99", "\x00", "[" * 600):
        with pytest.raises(RackError, match="is not YAML"):
            value(word)


def test_a_refusal_does_not_repeat_a_password() -> None:
    assert "a-password" not in refusal(TEXT.replace("correct-horse", "a-password-of-21-chars"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RackError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml", Rack)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RackError, match=r"binary\.yaml"):
        load(tmp_path / "binary.yaml", Rack)


def test_a_rack_can_have_another_name_than_its_file_gives() -> None:
    assert rack().renamed("second").nodes == rack().nodes
    with pytest.raises(RackError, match="can't be named"):
        rack().renamed("Not a name")


def test_passwords_are_not_shown() -> None:
    assert "correct-horse" not in f"{rack()!r} {rack()} {rack().model_dump(mode='json')}"


def test_each_rack_has_a_unique_local_prefix_made_of_its_subnet() -> None:
    prefix = ipv6_prefix(rack().networks.provisioning.subnet)
    assert str(prefix) == "fd00:0:a4d::/64"
    assert prefix.is_private


def test_an_empty_list_is_told_to_be_too_short() -> None:
    assert "compute_hosts: Input should have at least 1 item" in refusal(
        TEXT.replace(
            "\n  - {name: ch1, provisioning_address: 10.77.0.10, management_address: 10.78.0.10}", " []"
        )
    )


TILE = """\
pdus: [{name: a, family: apc_rackpdu, address: 10.78.0.201}]
nodes:
  - name: tile
    arch: tilepro64
    nics: [{mac: "52:54:00:77:00:05"}]
    outlets: [{pdu: a, outlet: 5}]
"""


def tile(text: str = TILE) -> str:
    return TEXT.partition("nodes:")[0] + text


def test_a_tilepro64_board_has_what_one_has_in_reality() -> None:
    made = parse(tile(), Rack, "rack.yaml")
    (node,) = made.tiles
    assert (node.firmware, node.vcpus, node.memory_mib, node.disks) == ("tilera", 64, 16218, ())
    assert node.tile is not None and (node.tile.boot_s, node.tile.address_by) == (100, "dhcp")
    assert not made.machines
    (entry,) = inventory(made)["nodes"]
    assert (entry["boot"], entry["deploy"], entry["disk_mib"]) == ("tilera", "nfs", 0)


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("    disks: [{size_mib: 64}]\n", "no disk and no bmc"),
        ("    firmware: bios\n", "firmware bios doesn't run on tilepro64"),
        ("    tile: null\n", "is no board"),
        ("    tile: {boot_s: -1}\n", "boot_s"),
        ("    tile: {compact_flash: vmlinux}\n", "not an absolute path"),
        ("    tile: {address_by: rarp}\n", "rack.yaml:13: nodes[0].tile.address_by: "),
    ],
)
def test_a_board_that_there_never_was_is_refused(added: str, told: str) -> None:
    assert told in refusal(tile(TILE + added))


def test_a_machine_without_a_disk_or_with_a_board_in_it_is_refused() -> None:
    assert "needs a disk" in refusal(TEXT.replace("    disks: [{size_mib: 2048}]\n", ""))
    with_tile = TEXT.replace("firmware: uefi", "firmware: uefi\n    tile: {address_by: bootp}")
    assert "rack.yaml:18: nodes[1].tile: tile is of boards of tilepro64, and this is x86_64" in refusal(
        with_tile
    )


def test_a_board_may_ask_by_bootp() -> None:
    (node,) = parse(tile(f"{TILE}    tile: {{address_by: bootp}}\n"), Rack, "rack.yaml").tiles
    assert node.tile is not None and node.tile.address_by == "bootp"
