"""One process per PDU, started again when it ends; its outlets keep what they are meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bmsim.rack.pdu_spec import Pdu
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState
from bmsim.sandbox.child import keep, until_ready

Switched = Callable[[str, int, bool], None]
"""(PDU, outlet, on)"""


class PduProcesses:
    def __init__(self, rack: Rack, state: RackState, say: Callable[[str], None], switched: Switched) -> None:
        self._rack = rack
        self._state = state
        self._say = say
        self._switched = switched
        self._log = state.folder / "pdu.log"

    async def start_all(self, group: asyncio.TaskGroup) -> None:
        """Returns when every PDU listens; they run in `group` until it is cancelled. Raises DidNotStart."""
        ready = {pdu.name: asyncio.Event() for pdu in self._rack.pdus}
        for pdu in self._rack.pdus:
            group.create_task(
                keep(
                    "bmsim.faces.pdu_process",
                    self._configuration(pdu),
                    what=f"PDU {pdu.name}",
                    log=self._log,
                    ready=ready[pdu.name],
                    say=self._say,
                    told=lambda line, name=pdu.name: self._told(name, line),  # type: ignore[misc]
                )
            )
        for name, event in ready.items():
            await until_ready(event, what=f"PDU {name}", log=self._log)

    def _told(self, pdu: str, line: str) -> None:
        match line.split():
            case [outlet, ("on" | "off") as state] if outlet.isdigit():
                self._switched(pdu, int(outlet), state == "on")
            case _:
                self._say(f"PDU {pdu} says {line!r}")

    def _configuration(self, pdu: Pdu) -> dict[str, Any]:
        cables = {
            feed.outlet: (node, number)
            for node in self._rack.nodes
            for number, feed in enumerate(node.outlets)
            if feed.pdu == pdu.name
        }
        # A machine without a BMC is on as long as it is fed, and the rack's machines are off at first.
        off = {outlet for outlet, (node, _) in cables.items() if node.starts_by_feed}
        state = self._state
        return {
            "name": pdu.name,
            "family": pdu.family,
            "address": str(pdu.address),
            "password": pdu.password.get_secret_value(),
            "outlets": {number: number not in off for number in pdu.numbers},
            "unit_outlets": pdu.outlets,
            "cables": {
                outlet: {"node": node.name, "feed": feed, "faults": str(state.faults_file(node.name))}
                for outlet, (node, feed) in cables.items()
            },
            "timing": {
                "on_s": pdu.on_s,
                "off_s": pdu.off_s,
                "reboot_s": pdu.reboot_s,
                "sequence_s": pdu.sequence_s,
            },
            "restore": pdu.restore,
            "answer_s": pdu.answer_s,
            "audit": str(state.audit_file),
            "memory": str(state.pdu_folder(pdu.name) / "relays.json"),
            "socket": str(state.pdu_socket(pdu.name)),
            "snmp": _snmp(pdu),
        }


def _snmp(pdu: Pdu) -> dict[str, Any]:
    given: dict[str, Any] = {
        "read_community": pdu.read_community.get_secret_value(),
        "community": pdu.community.get_secret_value(),
        "traps_to": [str(address) for address in pdu.traps_to],
    }
    if pdu.user is not None:
        given |= {
            "user": pdu.user.name,
            "auth_protocol": pdu.user.auth_protocol,
            "auth_key": pdu.user.auth_key.get_secret_value(),
            "priv_protocol": pdu.user.priv_protocol,
            "priv_key": pdu.user.priv_key.get_secret_value() if pdu.user.priv_key is not None else "",
        }
    return given
