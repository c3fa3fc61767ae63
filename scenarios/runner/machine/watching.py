"""What happens in a running rack, brought into the trace as it is seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx

from bmsim.api import RunningRack
from bmsim.audit import Entry
from scenarios.runner.machine.serve import Serve
from scenarios.runner.trace import Event, Origin, Trace

POLL_S = 0.2

DEVICES = {
    "bmc": "bmc",
    "machine": "machine",
    "dhcp": "dhcp",
    "tftp": "tftp",
    "http": "http",
    "iscsi": "iscsi",
}


class Watching:
    """Reads the rack's audit log and the provisioner's timelines until it is cancelled.

    hosts: address → name, of the compute hosts. The times are those of the machine that both run on."""

    def __init__(
        self, rack: RunningRack, serve: Serve, trace: Trace, begun_at: float, hosts: Mapping[str, str]
    ) -> None:
        self._rack = rack
        self._serve = serve
        self._trace = trace
        self._begun_at = begun_at
        self._hosts = hosts
        self._audit_offset = 0
        self._seen_events: dict[str, int] = {}

    async def run(self, nodes: Callable[[], tuple[str, ...]]) -> None:
        while True:
            await self.look(nodes())
            await asyncio.sleep(POLL_S)

    async def look(self, nodes: tuple[str, ...]) -> None:
        """Everything that came since the last look, in the order of its time."""
        events = [self._device_event(entry) for entry in self._fresh_entries()]
        for node in nodes:
            events += await self._told(node)
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

    async def _told(self, node: str) -> list[Event]:
        after = self._seen_events.get(node, 0)
        try:
            answer = await self._serve.call("GET", f"/v1/nodes/{node}/events?after={after}&limit=1000")
        except (httpx.HTTPError, OSError):
            return []  # it was killed, or is frozen: later
        if answer.status != 200:
            return []
        items: list[dict[str, Any]] = answer.body["items"]
        if items:
            self._seen_events[node] = items[-1]["id"]
        return [event for item in items if (event := self._step_event(node, item)) is not None]

    def _step_event(self, node: str, item: Mapping[str, Any]) -> Event | None:
        if not str(item["name"]).startswith("step."):
            return None
        at = datetime.fromisoformat(item["at"]).timestamp()
        return Event(
            t_s=at - self._begun_at,
            origin=Origin.PROVISIONER,
            source="step",
            name=item["name"],
            node=node,
            detail={"step": item["step"], "text": item["text"]},
        )
