"""What happens in a running rack, brought into the trace as it is seen."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bmsim.api import RunningRack
from bmsim.audit import Entry
from scenarios.runner.machine.beside import Beside
from scenarios.runner.machine.told import Api, Told, owned_before_acting
from scenarios.runner.trace import Event, Origin, Trace

POLL_S = 0.2


class Watching:
    """Reads the rack's audit log and what the provisioner tells until it is cancelled.

    hosts: address → name, of the compute hosts. The times are those of the machine that both run on."""

    def __init__(
        self,
        rack: RunningRack,
        api: Api,
        trace: Trace,
        begun_at: float,
        hosts: Mapping[str, str],
        besides: Sequence[Beside],
    ) -> None:
        self._rack = rack
        self._told = Told(api, begun_at)
        self._trace = trace
        self._begun_at = begun_at
        self._hosts = hosts
        self._besides = besides
        self._audit_offset = 0

    async def run(self, nodes: Callable[[], tuple[str, ...]]) -> None:
        while True:
            await self.look(nodes())
            await asyncio.sleep(POLL_S)

    async def look(self, nodes: tuple[str, ...]) -> None:
        """Everything that came since the last look, in the order of its time."""
        entries = self._fresh_entries()
        events = [self._device_event(entry) for entry in entries]
        told = await self._told.since(nodes, time.time() - self._begun_at)
        events += owned_before_acting(told, events)
        events += [self._struck(told) for beside in self._besides for told in beside.fresh()]
        for event in sorted(events, key=lambda event: event.t_s):
            self._trace.add(event)

    def _fresh_entries(self) -> list[Entry]:
        path = self._rack.state.audit_file
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._audit_offset)
            data = file.read()
        whole, _, _ = data.rpartition(b"\n")
        self._audit_offset += len(whole) + (1 if whole else 0)
        return [Entry(**json.loads(line)) for line in whole.splitlines()]

    def _device_event(self, entry: Entry) -> Event:
        address = entry.sender.rpartition(":")[0]
        return Event(
            t_s=entry.t - self._begun_at,
            origin=Origin.DEVICE,
            source=entry.device,
            name=entry.command,
            node=entry.node,
            sender=self._hosts.get(address, ""),
            detail={**entry.args, "result": entry.result},
        )

    def _struck(self, told: Mapping[str, Any]) -> Event:
        """By what the lab itself did, or does beside the provisioner."""
        return Event(
            t_s=told["t"] - self._begun_at,
            origin=Origin.DEVICE,
            source="fault",
            name="struck",
            node=told.get("node", ""),
            detail={key: value for key, value in told.items() if key not in ("t", "node")},
        )
