"""What a running rack can be told to do."""

from __future__ import annotations

import time
from typing import Any

from bmsim.audit import AuditLog, Entry
from bmsim.backends import disk_faults
from bmsim.devices.cabling import Cabling
from bmsim.faults.catalogue import completed
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState
from bmsim.sandbox import libvirtd, wire_faults
from bmsim.sandbox.libvirtd import URI
from bmsim.sandbox.tile_boards import TileBoards
from bmsim.sandbox.wire_faults import WireFaults


class Orders:
    """One at a time. Raises libvirt.libvirtError, OSError, ValueError, with words for who ordered."""

    def __init__(self, rack: Rack, state: RackState, cabling: Cabling) -> None:
        self._rack = rack
        self._cabling = cabling
        self._audit = AuditLog(state.audit_file)
        self.wires = WireFaults(rack, self.note)
        self._tiles = TileBoards(rack, state, self.note)

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """The answer. Blocks."""
        match order:
            case {"do": "stop"}:
                return {"stopping": True}
            case {"do": "status"}:
                return {"running": {node.name: self._is_running(node.name) for node in self._rack.nodes}}
            case {"do": "cut_power", "node": str(node)}:
                self.cut_power(node)
                return {}
            case {"do": "strike", "target": str(node), "fault": str(fault), "parameters": dict(given)}:
                self._strike(node, fault, completed(fault, given))
                return {}
            case {"do": "mend", "target": str(node), "fault": str(fault)}:
                self._mend(node, fault)
                return {}
        return {"error": f"there is no such order: {order}", "code": 2}

    def _strike(self, node: str, fault: str, parameters: dict[str, Any]) -> None:
        """What has to be done at once; the rest is done by who reads the file of faults. node: or the compute
        host that is struck."""
        match fault:
            case "node.dead_nic":
                self._set_link(node, up=False)
                self._struck_if_running(node, fault)
            case "node.power_loss":
                ran = self._is_running(node)
                self.cut_power(node)
                if ran:
                    self.note(node, "fault", "struck", "", fault=fault)
            case "pdu.wrong_wiring":
                other = self._cabling.swap(node, parameters["other"])
                for struck, by in ((node, other), (other, node)):
                    self.note(struck, "fault", "struck", "", fault=fault, other=by)
            case "disk.write_error":
                disk_faults.fail_writes(URI, node, **parameters)
            case "disk.too_small":
                disk_faults.shrink(URI, node, **parameters)
            case "disk.slow":
                disk_faults.slow_down(URI, node, **parameters)
                self._struck_if_running(node, fault)
            case _ if fault in wire_faults.FAULTS:
                self.wires.strike(node, fault, parameters)

    def _struck_if_running(self, node: str, fault: str) -> None:
        if self._is_running(node):  # else when it is switched on: who watches machines tells then
            self.note(node, "fault", "struck", "", fault=fault)

    def _mend(self, node: str, fault: str) -> None:
        match fault:
            case "node.dead_nic":
                self._set_link(node, up=True)
            case "node.hangs" if node not in self._tiles:
                libvirtd.thaw(node)
            case "pdu.wrong_wiring":
                self._cabling.unswap(node)
            case "disk.write_error":
                disk_faults.mend_writes(URI, node)
            case "disk.too_small":
                disk_faults.unshrink(URI, node)
            case "disk.slow":
                disk_faults.speed_up(URI, node)
            case _ if fault in wire_faults.FAULTS:
                self.wires.mend(node, fault)

    def cut_power(self, node: str) -> None:
        """Off at once, as if its mains were cut. Idempotent."""
        (self._tiles if node in self._tiles else libvirtd).cut_power(node)

    def give_power(self, node: str) -> None:
        """It starts. Does nothing to one that is on."""
        (self._tiles if node in self._tiles else libvirtd).give_power(node)

    def _is_running(self, node: str) -> bool:
        return (self._tiles if node in self._tiles else libvirtd).is_running(node)

    def _set_link(self, node: str, *, up: bool) -> None:
        (self._tiles if node in self._tiles else libvirtd).set_link(node, up=up)

    def note(self, node: str, device: str, command: str, sender: str, /, **args: Any) -> None:
        self._audit.write(
            Entry(
                t=time.time(),
                node=node,
                device=device,
                sender=sender,
                command=command,
                result="ok",
                args=args,
            )
        )
