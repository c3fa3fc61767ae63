"""Which nodes share a power device's turn, and its breaker."""

from __future__ import annotations

import json
from typing import Any

from provisioner.app.power_devices import PowerDevices
from provisioner.core.model import Node
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
