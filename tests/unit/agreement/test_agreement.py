"""What two fidelities must agree on, and what not."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.runner.agreement import differences, disagreements, essence
from scenarios.runner.parts import DiffersPart
from scenarios.runner.trace import Event, Origin


def event(source: str, name: str, node: str = "n1", at_s: float = 0.0, **detail: Any) -> Event:
    return Event(t_s=at_s, origin=Origin.DEVICE, source=source, name=name, node=node, detail=detail)


def test_what_devices_were_told_and_gave_is_the_essence() -> None:
    trace = [
        event("bmc", "chassis.status", result="ok"),
        event("bmc", "chassis.bootdev.set", device="network", result="ok"),
        event("bmc", "chassis.power.on", result="0xC0 node busy"),
        event("bmc", "chassis.power.on", result="ok"),
        event("dhcp", "discover", client="PXEClient:Arch:00000:UNDI:002001"),
        event("dhcp", "ack", client="PXEClient:Arch:00000:UNDI:002001"),
        event("tftp", "read", file="undionly.kpxe"),
        event("dhcp", "ack", client="iPXE"),
        event("http", "get", file="boot.ipxe"),
        event("http", "get", node="n2", file="kernel"),
        event("step", "step.done", step="agent_ready"),
    ]
    assert essence(trace, "n1") == [
        "bmc chassis.bootdev.set network",
        "bmc chassis.power.on",
        "dhcp PXEClient",
        "tftp undionly.kpxe",
        "dhcp iPXE",
        "http boot.ipxe",
        "step agent_ready",
    ]


def test_repetitions_do_not_count() -> None:
    again = [event("http", "get", file="kernel")] * 3
    assert essence(again, "n1") == ["http kernel"]


def test_a_file_is_the_same_whatever_the_node_that_its_folder_is_called_by() -> None:
    told = [essence([event("tftp", "read", file=f"{node_id}/kernel")], "n1") for node_id in ("3d9c", "51f0")]
    assert told == [["tftp kernel"]] * 2


def steps(*names: str) -> list[Event]:
    return [event("step", "step.done", step=name) for name in names]


def boot(*files: str) -> list[Event]:
    asked = [event("http", "get", file=file) for file in files]
    return [event("bmc", "chassis.power.on", result="ok"), event("dhcp", "ack", client="iPXE"), *asked]


def test_attempts_that_came_to_nothing_do_not_count() -> None:
    once = [*steps("power_on"), *boot("kernel", "ramdisk"), *steps("agent_ready"), *boot("kernel")]
    cut = [*steps("power_on"), *boot("kernel"), *boot(), *boot("kernel", "ramdisk")]
    again = [*steps("power_on"), *boot("kernel"), *steps("set_boot_device", "power_on")]
    for attempts in (cut, [*again, *cut[1:]]):
        assert essence([*attempts, *steps("agent_ready"), *boot("kernel")], "n1") == essence(once, "n1")


def test_a_machine_that_an_attempt_left_on_goes_off_to_go_on() -> None:
    off = event("bmc", "chassis.power.off", result="ok")
    assert essence([off, *boot("kernel")], "n1") == essence(boot("kernel"), "n1")
    assert essence([off], "n1") == ["bmc chassis.power.off"]


def outlets(order: str, *told: tuple[str, int]) -> list[Event]:
    return [event("pdu", f"outlet.{order}", pdu=pdu, outlet=number, result="ok") for pdu, number in told]


def test_which_outlets_are_told_counts_and_not_which_of_two_feeds_comes_first() -> None:
    a, b = ("a1", 3), ("b1", 3)
    cycle = essence([*outlets("off", a, b), *steps("power_off"), *outlets("on", b, a)], "n1")
    assert cycle == ["pdu outlet.off a1/3 b1/3", "step power_off", "pdu outlet.on a1/3 b1/3"]
    assert essence([*outlets("off", b, a, b), *steps("power_off"), *outlets("on", a, b)], "n1") == cycle
    cut = [*outlets("on", a), *boot("kernel")[1:], *outlets("on", a, b)]
    assert essence(cut, "n1") == ["pdu outlet.on a1/3 b1/3"]
    assert essence(outlets("on", a), "n1") != essence(outlets("on", ("a1", 4)), "n1")
    assert essence(outlets("on", a, b), "n1") != essence(outlets("on", a), "n1")


def test_an_outlet_that_an_attempt_left_on_goes_off_to_go_on() -> None:
    a, b = ("a1", 3), ("b1", 3)
    assert essence([*outlets("off", a), *outlets("on", a)], "n1") == ["pdu outlet.on a1/3"]
    assert len(essence([*outlets("off", b), *outlets("on", a)], "n1")) == 2


def test_a_second_deploy_counts_though_it_is_as_the_first() -> None:
    deploy = [*steps("power_on"), *boot("kernel"), *steps("instance_running")]
    assert len(essence(deploy * 2, "n1")) == 2 * len(essence(deploy, "n1"))


def test_the_order_is_that_of_the_times() -> None:
    late, early = event("http", "get", file="late", at_s=2.0), event("http", "get", file="early")
    assert essence([late, early], "n1") == ["http early", "http late"]


def test_each_node_with_another_story_is_told_of() -> None:
    model = [event("http", "get", file="kernel"), event("http", "get", node="n2", file="kernel")]
    told = disagreements(model, model[:1], ("n1", "n2"), ())
    assert len(told) == 1
    assert "different stories of n2: the model alone: http kernel" in told[0]


def differs(node: str | None = None, only: str = "model", what: str = "http kernel") -> DiffersPart:
    return DiffersPart.model_validate({"only": only, "what": what, "node": node, "why": "it has its reason"})


@pytest.mark.parametrize("node", [None, "n2"])
def test_a_difference_is_not_told_when_it_is_excused(node: str | None) -> None:
    model = [event("http", "get", file="kernel"), event("http", "get", node="n2", file="kernel")]
    assert not disagreements(model, model[:1], ("n1", "n2"), [differs(node)])
    assert not disagreements(model, [], ("n1", "n2"), [differs()])


@pytest.mark.parametrize(
    "excuse",
    [differs("n1"), differs(only="machine"), differs(what="http ramdisk"), differs("n2", what="tftp kernel")],
)
def test_an_excuse_of_nothing_is_told(excuse: DiffersPart) -> None:
    model = [event("http", "get", file="kernel"), event("http", "get", node="n2", file="kernel")]
    told = disagreements(model, model[:1], ("n1", "n2"), [differs("n2"), excuse])
    assert len(told) == 1
    assert f"tells {excuse.what!r}" in told[0]
    assert "leave it out" in told[0]


def test_an_excuse_is_for_one_time() -> None:
    machine = steps("power_on", "instance_running") * 2
    asked = event("http", "get", file="kernel")
    model = [*steps("power_on"), asked, *steps("instance_running")] * 2
    assert len(disagreements(model, machine, ("n1",), [differs()])) == 1
    assert not disagreements(model, machine, ("n1",), [differs(), differs()])


def test_what_one_tells_alone_is_a_difference() -> None:
    model, machine = ["bmc a", "http kernel", "step x"], ["bmc a", "step x", "dhcp iPXE"]
    assert differences(model, model) == []
    assert differences(model, machine) == ["-http kernel", "+dhcp iPXE"]
