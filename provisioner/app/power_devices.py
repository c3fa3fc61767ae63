"""From a node's row to its power device, and the turn that keeps it to one command at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from weakref import WeakValueDictionary

from provisioner.compute.devices import Device
from provisioner.core.errors import InvalidInput
from provisioner.core.model import Node
from provisioner.protocols.power import DeviceFactory, PowerControl


class PowerDevices:
    """Makes devices on demand; nodes on one physical device share its turn."""

    def __init__(self, drivers: Mapping[str, DeviceFactory], unseal: Callable[[str], str]) -> None:
        self._drivers = drivers
        self._unseal = unseal
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
        address = str(node.power_address.get("address", node.id))
        key = device_key(node)
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Lock()
        name = f"{node.power_driver} device {address} of node {node.name}"
        return Device(name, self.control(node), turn, key)


def device_key(node: Node) -> str:
    """The same for all nodes on one physical device."""
    address = str(node.power_address.get("address", node.id))
    port = node.power_address.get("port", "")
    return f"{node.power_driver} device {address}" + (f":{port}" if port else "")
