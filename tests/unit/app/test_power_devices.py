"""Which nodes share a power device's turn, and its breaker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from provisioner.app.power_devices import PowerDevices
from provisioner.core.model import Node
from provisioner.drivers.fake import FakeRack
from tests.unit.fakes import CountingIds
from tests.unit.records import node

SNMP = {"address": "10.78.0.201", "family": "apc_rackpdu"}


def on_outlet(number: int, community: str, driver: str = "snmp", **address: Any) -> Node:
    sealed = json.dumps({"community": community, "salt": number})
    return node(
        id=f"node-{number}",
        power_driver=driver,
        power_address={**SNMP, "outlets": [number], **address},
        power_secret_sealed=sealed,
    )


def unsealed(sealed: str) -> str:
    """As the box does: no two of one secret look alike in the store."""
    secret = json.loads(sealed)
    del secret["salt"]
    return json.dumps(secret)


def devices() -> PowerDevices:
    return PowerDevices({}, unsealed)


def test_a_pdu_silent_to_a_wrong_community_is_not_taken_for_silent_by_other_nodes() -> None:
    made = devices()
    good, other, bad = (
        made.key(on_outlet(number, word)) for number, word in enumerate(("right", "right", "wrong"), 1)
    )
    assert good == other != bad
    assert all("right" not in key and "wrong" not in key for key in (good, bad))


def test_so_are_two_feeds_of_which_one_has_a_wrong_community() -> None:
    made = devices()
    feeds = [{**SNMP, "driver": "snmp", "outlets": [1]}]
    keys = {made.key(on_outlet(1, word, "feeds", feeds=feeds)) for word in ("right", "wrong")}
    assert len(keys) == 2


def test_so_are_two_users_of_version_3_of_whom_one_has_a_wrong_protocol() -> None:
    made = devices()
    user = {"version": "3", "user": "power", "auth_protocol": "sha"}
    keys = {made.key(on_outlet(1, "same", **user, priv_protocol=protocol)) for protocol in ("aes", "des")}
    assert len(keys) == 2


def test_a_bmc_is_one_device_whoever_asks_it() -> None:
    made = devices()
    keys = {made.key(on_outlet(number, word, "ipmi")) for number, word in ((1, "right"), (2, "wrong"))}
    assert keys == {"ipmi device 10.78.0.201"}


@pytest.mark.parametrize(("driver", "at_once"), [("snmp", 6), ("feeds", 6), ("ipmi", 1)])
def test_a_device_has_so_many_turns_and_the_next_node_waits_until_one_is_done(
    driver: str, at_once: int
) -> None:
    async def story() -> None:
        rack = FakeRack(lambda event: None, CountingIds())
        made = PowerDevices({driver: rack.power}, unsealed)
        asked: list[int] = []
        inside: list[int] = []
        done = {number: asyncio.Event() for number in range(1, at_once + 2)}

        async def ask(number: int) -> None:
            device = made.device(on_outlet(number, "right", driver))
            asked.append(number)
            async with device.turn:
                inside.append(number)
                await done[number].wait()
                inside.remove(number)

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for number in done:
                group.create_task(ask(number))
            await until(lambda: len(asked) == at_once + 1)
            assert inside == asked[:at_once]
            done[1].set()
            await until(lambda: at_once + 1 in inside)
            assert len(inside) == at_once
            for event in done.values():
                event.set()

    asyncio.run(story())


async def until(there: Callable[[], bool]) -> None:
    while not there():
        await asyncio.sleep(0)
