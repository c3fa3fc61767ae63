"""From a node's row to its power device, and the turn that bounds what it is asked at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from weakref import WeakValueDictionary

from provisioner.app.power_drivers import COMMANDS_AT_ONCE
from provisioner.compute.devices import Device
from provisioner.core.errors import InvalidInput
from provisioner.core.model import Node
from provisioner.protocols.power import DeviceFactory, PowerControl


class PowerDevices:
    """Makes devices on demand; nodes on one physical device share its turn."""

    def __init__(self, drivers: Mapping[str, DeviceFactory], unseal: Callable[[str], str]) -> None:
        self._drivers = drivers
        self._unseal = unseal
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
        secret = json.loads(self._unseal(node.power_secret_sealed)) if node.power_secret_sealed else {}
        return factory(node.name, dict(node.power_address), secret)

    def device(self, node: Node) -> Device:
        """The device with its turn. Raises as `control`."""
        key = device_key(node)
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Semaphore(COMMANDS_AT_ONCE.get(node.power_driver, 1))
        name = f"{node.power_driver} device {_where(node)} of node {node.name}"
        return Device(name, self.control(node), turn, key)


def device_key(node: Node) -> str:
    """The same for all nodes on one physical device."""
    port = node.power_address.get("port", "")
    return f"{node.power_driver} device {_where(node)}" + (f":{port}" if port else "")


def _where(node: Node) -> str:
    """Of a node with several feeds, all devices that they come from: they fail it together."""
    feeds = node.power_address.get("feeds", ())
    if feeds:
        return " and ".join(dict.fromkeys(str(feed.get("address", node.id)) for feed in feeds))
    return str(node.power_address.get("address", node.id))
