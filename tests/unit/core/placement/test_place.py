from __future__ import annotations

import random
from dataclasses import replace

import pytest

from provisioner.core.model import ImageKind
from provisioner.core.placement.filters import FILTERS, refusal
from provisioner.core.placement.place import Choice, place
from provisioner.core.placement.pool import Pool, is_offered
from provisioner.core.placement.sizes import disk_needed_mib
from provisioner.core.states import ProvisionState
from tests.unit.records import FLAVOR, image, instance, node


def test_the_smallest_node_that_fits_is_chosen() -> None:
    big = node(id="big", name="big", memory_mib=4096)
    small = node(id="small", name="small", memory_mib=1024)
    assert place(instance(), image(), [big, small]).node is small


def test_equal_nodes_are_chosen_by_name_so_that_a_dry_run_tells_the_truth() -> None:
    nodes = [node(id=name, name=name) for name in ("n2", "n1", "n3")]
    chosen = place(instance(), image(), nodes).node
    assert chosen is not None
    assert chosen.name == "n1"


def test_what_is_hidden_is_neither_chosen_nor_told_of_and_counts_where_it_stands() -> None:
    """Two of the three that are free in rack r1 are kept for others: the scheduler takes the third."""
    asked = instance(tenant="red")
    nodes = [node(id=f"a{n}", name=f"a{n}", rack="r2") for n in range(2)]
    nodes += [node(id=f"b{n}", name=f"b{n}", rack="r1", reserved_for="blue" if n else "") for n in range(3)]
    choice, pool = Choice(asked), Pool()
    for one in nodes:
        choice.meet(one, refusal(asked, image(), one), hidden=one.reserved_for == "blue")
        pool.put(one)
    found = choice.placement()
    assert found.node is not None
    assert found.node.name == "b0"
    assert found.refusals == ()
    chosen = pool.choose(asked, image())
    assert chosen is not None
    assert chosen.name == "b0", "as it is by the scheduler"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"state": ProvisionState.ACTIVE, "instance_id": "other"}, "it is active"),
        ({"state": ProvisionState.CLEAN_FAILED}, "clean_failed"),
        ({"maintenance": True}, "maintenance"),
        ({"reserved_for": "other"}, "reserved for another tenant"),
        ({"deploy_failures": 3}, "its last 3 deploys failed by its own fault"),
        ({"owner": None}, "no compute host"),
        ({"arch": "arm64"}, "image tiny is for x86_64, not arm64"),
        ({"cpus": 0}, "0 CPUs, 1 are needed"),
        ({"memory_mib": 256}, "256 MiB of memory, 512 are needed"),
        ({"disk_mib": 1024}, "1024 MiB of disk, 1034 are needed"),
        ({"deploy_driver": "nfs", "memory_mib": 256}, "256 MiB of memory, 512 are needed"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_by_name(wrong: dict[str, object], why: str) -> None:
    found = refusal(instance(), image(), node(**wrong))
    assert found is not None
    assert why in found
    placement = place(instance(), image(), [node(**wrong)])
    assert placement.node is None
    assert why in placement.explain()


@pytest.mark.parametrize(
    ("boot", "words", "unsafe"),
    [
        ("grub", 'dyndbg="file x.c +p"', "'\"'"),
        ("grub", "a=\\b", r"'\\'"),
        ("ipxe", "a=b && c", "'&&'"),
        ("grub", "a=$b;c", ""),
        ("uboot", "a='b \\\"c\"'", ""),
        ("tilera", "", ""),
    ],
)
def test_what_does_not_get_through_a_nodes_boot_loader_is_refused_before_anything_is_written(
    boot: str, words: str, unsafe: str
) -> None:
    one, told = node(boot_driver=boot), image(command_line=words)
    found = refusal(instance(), told, one) or ""
    assert found == (
        f"it boots by {boot}, through which {unsafe} of the command line of image tiny doesn't get"
        if unsafe
        else ""
    )
    whole = image(command_line=words, kind=ImageKind.DISK)
    assert refusal(instance(), whole, one) is None


def test_every_filter_is_reached_by_a_refusal() -> None:
    assert len(FILTERS) == 14
    asked = instance(node_name="other")
    assert refusal(asked, image(), node()) == "the request names node other"
    asked = instance(failed_on=("node-1",))
    assert refusal(asked, image(), node()) == "it has failed this request before"
    asked = instance(host_name="ch2")
    assert refusal(asked, image(), node()) == "another compute host than ch2 owns it"
    asked = instance(zone="z2")
    assert refusal(asked, image(), node(zone="z1")) == "it is in zone z1"
    assert refusal(asked, image(), node()) == "it is in zone default"


def test_who_names_a_node_that_keeps_failing_gets_it() -> None:
    failing = node(deploy_failures=5)
    assert place(instance(node_name="n1"), image(), [failing]).node is failing


def test_a_reserved_node_is_its_tenants() -> None:
    kept = node(reserved_for="lab")
    assert place(instance(tenant="lab"), image(), [kept]).node is kept


def test_the_flavors_architecture_must_be_the_images() -> None:
    flavor = replace(FLAVOR, extra_specs={"cpu_arch": "arm64"})
    found = refusal(instance(flavor=flavor), image(arch="x86_64"), node(arch="arm64"))
    assert found == "image tiny is for x86_64, not arm64"


def test_an_image_larger_than_the_flavors_disk_counts_with_its_own_size() -> None:
    flavor = replace(FLAVOR, swap_mib=100, ephemeral_mib=300)
    large = image(virtual_size_bytes=2000 * 2**20 + 1)
    assert disk_needed_mib(flavor, large, "iscsi") == 2001 + 300 + 100 + 8 + 2


def test_a_node_without_room_for_ephemeral_storage_is_not_taken() -> None:
    small = node(disk_mib=FLAVOR.disk_mib + 8 + 2 + 99)
    assert place(instance(), image(), [small]).node is small
    wanting = instance(flavor=replace(FLAVOR, ephemeral_mib=100))
    assert place(wanting, image(), [small]).node is None
    assert "disk" in str(refusal(wanting, image(), small))


def test_a_root_by_nfs_needs_no_disk_and_a_file_system() -> None:
    diskless = node(deploy_driver="nfs", disk_mib=0)
    assert place(instance(), image(), [diskless]).node is diskless
    assert "is a whole disk" in str(refusal(instance(), image(kind=ImageKind.DISK), diskless))
    swapping = instance(flavor=replace(FLAVOR, swap_mib=100))
    assert "asks for swap" in str(refusal(swapping, image(), diskless))
    storing = instance(flavor=replace(FLAVOR, ephemeral_mib=100))
    assert "asks for ephemeral storage" in str(refusal(storing, image(), diskless))


def test_a_thousand_refusals_are_told_in_one_line() -> None:
    nodes = [
        node(id=str(number), name=f"n{number}", maintenance=number % 2 == 0, memory_mib=1)
        for number in range(1000)
    ]
    text = place(instance(), image(), nodes).explain()
    assert "500 × it is in maintenance" in text
    assert "500 × it has 1 MiB of memory" in text
    assert len(text) < 200


def test_no_nodes_at_all_is_said_as_such() -> None:
    assert place(instance(), image(), []).explain() == "no nodes are enrolled"


def test_a_choice_among_nodes_that_are_met_one_by_one_is_the_pools() -> None:
    """The one keeps little of what it met, the other all."""
    chance = random.Random(7)
    for _ in range(200):
        nodes = [
            node(
                id=f"id{number}",
                name=f"n{chance.randrange(10**6)}",
                memory_mib=chance.choice((256, 1024, 2048)),
                rack=chance.choice(("", "r1", "r2")),
                owner=chance.choice((None, "h1", "h2")),
                state=chance.choice((ProvisionState.AVAILABLE, ProvisionState.ACTIVE)),
                deploy_failures=chance.choice((0, 0, 1)),
                power_driver="snmp",
                power_address={"family": "apc", "address": chance.choice("abc"), "outlets": [number]},
            )
            for number in range(chance.randrange(12))
        ]
        asked, deploys = instance(failed_on=("id1",)), {"h1": chance.randrange(3), "h2": 1}
        pool = Pool(deploys)
        for one in filter(is_offered, nodes):
            pool.put(one)
        assert place(asked, image(), nodes, deploys).node == pool.choose(asked, image())
