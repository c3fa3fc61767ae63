from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import InvalidInput
from provisioner.core.extra_specs import FACTS, check, facts, unmet
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.place import place
from tests.unit.records import FLAVOR, image, instance, node

INVENTORY: dict[str, Any] = {
    "disks": [{"rotational": False}, {"rotational": False}],
    "nics": [{"speed_mbps": None}, {"speed_mbps": 25_000}],
    "traits": ["cpu_avx2", "nvme"],
}
CAPABILITIES = {"gpu": "a100", "gpus": "4", "bios": "0100", "sign": "=x"}
ONE = node(cpus=8, memory_mib=65536, inventory=INVENTORY, capabilities=CAPABILITIES)


@pytest.mark.parametrize(
    ("specs", "meets"),
    [
        ({}, True),
        ({"cpus": ">= 8"}, True),
        ({"cpus": "> 8"}, False),
        ({"cpus": "< 9", "memory_mib": "<= 65536"}, True),
        ({"cpus": "8"}, True),
        ({"cpus": "== 9"}, False),
        ({"cpus": "!= 9"}, True),
        ({"cpu_arch": "x86_64"}, True),
        ({"cpu_arch": "arm64"}, False),
        ({"cpu_arch": "<or> arm64 <or> x86_64"}, True),
        ({"firmware": "!= bios"}, False),
        ({"ssd": "true", "disks": ">= 2"}, True),
        ({"nics": "2", "nic_mbps": ">= 10000"}, True),
        ({"nic_mbps": ">= 100000"}, False),
        ({"vcpus": ">= 8"}, True),
        ({"capabilities:gpus": ">= 4"}, True),
        ({"capabilities:gpus": "< 4"}, False),
        ({"capabilities:gpu": "a100"}, True),
        ({"capabilities:gpu": "<or> h100 <or> b200"}, False),
        ({"capabilities:fpga": "!= none"}, False),
        ({"capabilities:bios": "0100"}, True),
        ({"capabilities:bios": "== 100"}, True),
        ({"capabilities:bios": "!= 0100"}, False),
        ({"capabilities:bios": "<= 100"}, True),
        ({"cpus": "08"}, True),
        ({"capabilities:sign": "== =x"}, True),
        ({"trait:cpu_avx2": "required", "trait:tpm": "forbidden"}, True),
        ({"trait:tpm": "required"}, False),
        ({"trait:cpu_avx2": "forbidden"}, False),
    ],
)
def test_specs_are_held_against_what_is_known_of_the_node(specs: dict[str, str], meets: bool) -> None:
    check(specs, "extra_specs")
    assert (unmet(specs, ONE) is None) is meets


def test_what_is_asked_for_and_what_is_there_are_both_told() -> None:
    asked = instance(flavor=replace(FLAVOR, extra_specs={"memory_mib": ">= 131072"}))
    assert refusal(asked, image(), ONE) == "its memory_mib is 65536, >= 131072 is asked for"


def test_what_only_the_agent_can_know_is_not_assumed() -> None:
    why = unmet({"ssd": "true"}, node(inventory=None))
    assert why == "its ssd isn't known before its agent has reported once, true is asked for"
    assert unmet({"ssd": "true"}, node(inventory={"disks": [], "nics": []})) is not None
    forbidden = {"trait:tpm": "forbidden"}
    assert "isn't known before" in str(unmet(forbidden, node(inventory=None)))
    assert "told no traits" in str(unmet(forbidden, node(inventory={"disks": [], "nics": []})))


@pytest.mark.parametrize("arch", ["x86_64", "tilepro64", "arm64", "armhf"])
def test_each_architecture_there_is_may_be_asked_for(arch: str) -> None:
    check({"cpu_arch": arch}, "extra_specs")
    assert unmet({"cpu_arch": arch}, node(arch=arch)) is None
    assert unmet({"cpu_arch": arch}, node(arch="other")) == f"its cpu_arch is other, {arch} is asked for"


def test_a_name_that_was_stored_before_names_were_checked_fits_nowhere() -> None:
    assert "nobody knows of nodes" in str(unmet({"colour": "red"}, ONE))


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ({"colour": "red"}, "There are: cpu_arch, cpus"),
        ({"cpus": ">= many"}, "compares no whole number"),
        ({"cpu_arch": ">= 4"}, "compares no whole number"),
        ({"cpus": "many"}, "is no value"),
        ({"cpus": ""}, "is no value"),
        ({"cpus": "== -1"}, "is no value"),
        ({"cpu_arch": "<or> arm64 <or>"}, "is no value"),
        ({"ssd": "yes"}, "neither true nor false"),
        ({"cpu_arch": "mips"}, "no architecture that is known"),
        ({"capabilities:": "x"}, "names nothing"),
        ({"capabilities:gpus": ">= many"}, "compares no whole number"),
        ({"capabilities:gpu": ""}, "is no value"),
        ({"trait:tpm": "true"}, "Write required or forbidden"),
        ({"cpus": ">=4"}, "is no comparison that is known"),
        ({"capabilities:gpus": ">=4"}, "is no comparison that is known"),
        ({"capabilities:gpus": "= 4"}, "is no comparison that is known"),
        ({"capabilities:gpu": "s== a100"}, "is no comparison that is known"),
        ({"capabilities:gpu": "<in> a100"}, "is no comparison that is known"),
        ({"capabilities:gpu": "<or> <in> a100"}, "is no comparison that is known"),
        ({"capabilities:gpu": "a100 <or> h100"}, "is no comparison that is known"),
        ({"capabilities:gpu": "!= <or> a100 <or> h100"}, "is no comparison that is known"),
        ({"firmware": "!bios"}, "is no comparison that is known"),
    ],
)
def test_what_means_nothing_is_refused_by_its_field(specs: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check(specs, "extra_specs")
    assert told in f"{refused.value.message} {refused.value.advice}"
    assert refused.value.field == f"extra_specs.{next(iter(specs))}"


def test_every_fact_is_told_of_an_inspected_node() -> None:
    known = facts(ONE)
    assert list(known) == list(FACTS)
    assert all(type(known[name]) is kind for name, kind in FACTS.items())


def test_of_equal_nodes_the_one_whose_pdu_has_most_others_free_goes_first() -> None:
    def on(name: str, pdu: str) -> Any:
        address = {"family": "apc_rackpdu", "address": pdu, "outlets": [1]}
        return node(id=name, name=name, power_driver="snmp", power_address=address)

    crowded = [on("n1", "10.78.0.40"), on("n2", "10.78.0.41"), on("n3", "10.78.0.41")]
    chosen = place(instance(), image(), crowded).node
    assert chosen is not None and chosen.name == "n2"


def test_the_page_tells_of_every_fact() -> None:
    page = (Path(__file__).parents[3] / "docs" / "flavors.md").read_text()
    assert all(f"`{name}`" in page for name in FACTS)
