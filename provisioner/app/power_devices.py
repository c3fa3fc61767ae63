"""From a node's row to its power device, and the turn that bounds what it is asked at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from weakref import WeakValueDictionary

from provisioner.app.power_drivers import COMMANDS_AT_ONCE
from provisioner.compute.devices import Device
from provisioner.core.errors import InvalidInput
from provisioner.core.model import Node
from provisioner.protocols.power import DeviceFactory, PowerControl

SILENT_TO_STRANGERS = ("snmp", "feeds")
"""Drivers whose devices don't answer a wrong community: their silence is that of all who ask by the same."""

_TOLD_APART = ("version", "user", "auth_protocol", "priv_protocol")
"""Besides its secrets, what makes a feed's credentials: a wrong protocol may not be answered either."""

MOST_ASKED_AS = 4096
"""Credentials that are told apart. Then all are forgotten, and with them how long each device was silent."""


class PowerDevices:
    """Makes devices on demand; nodes on one physical device share its turn."""

    def __init__(self, drivers: Mapping[str, DeviceFactory], unseal: Callable[[str], str]) -> None:
        self._drivers = drivers
        self._unseal = unseal
        self._asked_as: dict[tuple[str, bytes], int] = {}
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def control(self, node: Node) -> PowerControl:
        """Raises InvalidInput when there is no such driver or its address is unusable."""
        factory = self._drivers.get(node.power_driver)
        if factory is None:
            raise InvalidInput(
                f"reach the power device of node {node.name}",
                field="power.driver",
                answer=f"there is no driver {node.power_driver!r}",
                advice=f"Known drivers: {', '.join(sorted(self._drivers))}",
            )
        return factory(node.name, dict(node.power_address), self._secret(node))

    def device(self, node: Node) -> Device:
        """The device with its turn. Raises as `control`."""
        key = self.key(node)
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Semaphore(COMMANDS_AT_ONCE.get(node.power_driver, 1))
        name = f"{node.power_driver} device {_where(node)} of node {node.name}"
        return Device(name, self.control(node), turn, key)

    def key(self, node: Node) -> str:
        """The same for all nodes on one physical device that it answers alike. It is logged, without secrets:
        those who ask by others than the first are numbered."""
        port = node.power_address.get("port", "")
        key = f"{node.power_driver} device {_where(node)}" + (f":{port}" if port else "")
        if node.power_driver not in SILENT_TO_STRANGERS:
            return key
        feeds = node.power_address.get("feeds", (node.power_address,))
        asked_by = [self._secret(node), [[feed.get(name) for name in _TOLD_APART] for feed in feeds]]
        number = self._number(key, hashlib.sha256(json.dumps(asked_by, sort_keys=True).encode()).digest())
        return key if number == 1 else f"{key}, by credentials {number} of those it is asked by"

    def _number(self, key: str, asked_by: bytes) -> int:
        """From 1."""
        if (key, asked_by) not in self._asked_as:
            if len(self._asked_as) >= MOST_ASKED_AS:
                self._asked_as.clear()
            self._asked_as[key, asked_by] = 1 + sum(known == key for known, _ in self._asked_as)
        return self._asked_as[key, asked_by]

    def _secret(self, node: Node) -> dict[str, str]:
        if not node.power_secret_sealed:
            return {}
        secret: dict[str, str] = json.loads(self._unseal(node.power_secret_sealed))
        return secret


def _where(node: Node) -> str:
    """Of a node with several feeds, all devices that they come from: they fail it together."""
    feeds = node.power_address.get("feeds", ())
    if feeds:
        return " and ".join(dict.fromkeys(str(feed.get("address", node.id)) for feed in feeds))
    return str(node.power_address.get("address", node.id))
