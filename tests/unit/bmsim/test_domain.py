from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

from bmsim.backends.domain import domain_xml, supports_direct_io
from bmsim.rack.spec import Node
from tests.unit.bmsim.racks import rack

FOLDER = Path("/state/nodes/n")
MACHINE = {
    "name": "n",
    "disks": [{"size_mib": 64}],
    "nics": [{"mac": "52:54:00:77:00:01"}],
    "bmc": {"address": "10.78.0.101", "user": "admin", "password": "correct-horse"},
}


def machine(name: str = "n1", *, kvm: bool = False, direct: bool = True) -> xml.Element:
    node = rack().node(name)
    assert node is not None
    return xml.fromstring(domain_xml(node, FOLDER, kvm=kvm, direct=direct))


def attribute(tree: xml.Element, path: str, name: str) -> str | None:
    found = tree.find(path)
    assert found is not None, path
    return found.get(name)


def test_size_and_name_are_those_of_the_rack_file() -> None:
    tree = machine()
    assert [tree.findtext(tag) for tag in ("name", "vcpu", "memory")] == ["n1", "2", "1024"]
    assert attribute(tree, "memory", "unit") == "MiB"


def test_each_disk_is_a_file_of_its_own_that_gives_back_what_is_discarded() -> None:
    disks = machine().findall("devices/disk")
    assert [attribute(disk, "source", "file") for disk in disks] == [
        f"{FOLDER}/disk0.raw",
        f"{FOLDER}/disk1.raw",
    ]
    assert [attribute(disk, "target", "dev") for disk in disks] == ["vda", "vdb"]
    assert {attribute(disk, "driver", "discard") for disk in disks} == {"unmap"}


def test_the_page_cache_is_avoided_where_that_can_be() -> None:
    for direct, cache in ((True, "none"), (False, "unsafe")):
        disks = machine(direct=direct).findall("devices/disk")
        assert {attribute(disk, "driver", "cache") for disk in disks} == {cache}


def test_direct_io_is_tried_where_the_disks_lie(tmp_path: Path) -> None:
    supports_direct_io(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not supports_direct_io(tmp_path / "nowhere")


def test_the_nic_has_its_mac_and_hangs_on_the_bridge_of_its_network() -> None:
    tree = machine()
    assert attribute(tree, "devices/interface/mac", "address") == "52:54:00:77:00:01"
    assert attribute(tree, "devices/interface/source", "bridge") == "prov"


def test_the_console_is_a_socket_and_a_log_that_only_grows() -> None:
    tree = machine()
    assert attribute(tree, "devices/serial/source", "path") == f"{FOLDER}/console.sock"
    assert attribute(tree, "devices/serial/log", "file") == f"{FOLDER}/console.log"
    assert attribute(tree, "devices/serial/log", "append") == "on"


def test_a_bios_machine_tries_its_boot_order_again_for_ever() -> None:
    assert int(attribute(machine("n1"), "os/bios", "rebootTimeout") or -1) > 0


def test_a_uefi_machine_keeps_variables_of_its_own() -> None:
    tree = machine("n2")
    assert tree.findtext("os/nvram") == f"{FOLDER}/nvram.fd"
    assert attribute(tree, "os/loader", "readonly") == "yes"
    assert tree.find("os/bios") is None


def test_a_uefi_machine_of_arm64_has_firmware_of_its_own_and_no_rom_for_x86() -> None:
    node = Node.model_validate({**MACHINE, "arch": "arm64", "firmware": "uefi"})
    tree = xml.fromstring(domain_xml(node, FOLDER, kvm=True, direct=True))
    assert (tree.get("type"), attribute(tree, "os/type", "machine")) == ("qemu", "virt")
    assert "AAVMF" in (tree.findtext("os/loader") or "")
    assert "AAVMF" in (attribute(tree, "os/nvram", "template") or "")
    assert attribute(tree, "devices/interface/rom", "enabled") == "no"
    assert tree.find("features/acpi") is not None


@pytest.mark.parametrize(
    ("kvm", "kind", "processor"), [(True, "kvm", "host-passthrough"), (False, "qemu", "maximum")]
)
def test_the_processor_is_the_best_that_the_accelerator_offers(kvm: bool, kind: str, processor: str) -> None:
    tree = machine(kvm=kvm)
    assert tree.get("type") == kind
    assert attribute(tree, "cpu", "mode") == processor


def test_a_machine_has_no_screen_and_no_password_in_its_description() -> None:
    node = rack().node("n1")
    assert node is not None
    text = domain_xml(node, FOLDER, kvm=False, direct=True)
    assert "correct-horse" not in text
    assert "<graphics" not in text
    assert "<video" not in text
