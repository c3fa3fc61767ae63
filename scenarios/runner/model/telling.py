"""What becomes of a story in the model, told: by devices, wires and hosts, and by what the store keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from provisioner.core.fields import Fields
from provisioner.core.model import Instance, Node, NodeRequest, Record, TimelineEvent
from provisioner.core.states import InstanceState, ProvisionState
from scenarios.runner.model.wires import Link
from scenarios.runner.trace import Event, Origin, Trace

NEWS_S = 300.0
"""Nobody waits longer without looking: two who wait for one thing may take the news from each other."""

_EVENT = Fields(Event).record

PASSING = (ProvisionState.ENROLLING, ProvisionState.CLEANING, ProvisionState.CLEAN_WAIT)
"""No client waits for a node to be in one of these: its state is on its way to one that is waited for."""


class Telling:
    """Writes the trace. told(where, text): given what the provisioner tells, for secrets in it."""

    def __init__(self, trace: Trace, now_s: Callable[[], float], told: Callable[[str, str], None]) -> None:
        self._trace = trace
        self._now_s = now_s
        self._told = told
        self._owners: dict[str, str] = {}
        self._node_names: dict[str, str] = {}
        self._news: dict[str, asyncio.Event] = {}

    def owner(self, node: str) -> str:
        """The compute host that owns it; empty: none."""
        return self._owners.get(node, "")

    def node_name(self, node_id: str) -> str:
        return self._node_names.get(node_id, "")

    def node_id(self, name: str) -> str:
        """Empty before it is enrolled."""
        return next((id for id, known in self._node_names.items() if known == name), "")

    async def news(self, name: str) -> None:
        """Returns when something of that name has changed, or after `NEWS_S`."""
        event = self._news.setdefault(name, asyncio.Event())
        try:
            async with asyncio.timeout(NEWS_S):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    # --- by devices, wires and hosts -----------------------------------------------------------

    def note(self, node: str, source: str, name: str, sender: str = "", **detail: Any) -> None:
        """What a device saw."""
        self._add(Origin.DEVICE, source, name, node, sender, detail)

    def host_event(self, host: str, name: str, **detail: Any) -> None:
        self._add(Origin.STAGE, "host", name, "", host, {"host": host, **detail})

    def host_struck(self, fault: str, host: str) -> None:
        self._add(Origin.STAGE, "fault", "struck", "", host, {"fault": fault})

    def image_struck(self, fault: str, image: str) -> None:
        self._add(Origin.STAGE, "fault", "struck", "", "", {"fault": fault, "image": image})

    def wire_struck(self, fault: str, link: Link, what: str) -> None:
        detail = {"fault": fault, "protocol": link.protocol, "what": what}
        self._add(Origin.STAGE, "fault", "struck", link.node, link.host, detail)

    def _add(
        self, origin: Origin, source: str, name: str, node: str, sender: str, detail: Mapping[str, Any]
    ) -> None:
        self._trace.add(_EVENT((self._now_s(), origin, source, name, node, sender, detail)))

    # --- by the store --------------------------------------------------------------------------

    def changed(self, before: Record | None, after: Record | None) -> None:
        match after:
            case TimelineEvent():
                self._timeline(after)
            case Node():
                self._node_changed(before, after)
            case Instance():
                if not isinstance(before, Instance) or _shown(before) != _shown(after):
                    self._wake(after.name)
                if not isinstance(before, Instance) or before.state is not after.state:
                    node = self.node_name(after.node_id or "")
                    detail = {"instance": after.name, "state": str(after.state)}
                    self._add(Origin.PROVISIONER, "instance", "state", node, "", detail)
                self._moved(before, after)
            case NodeRequest():
                self._wake(self.node_name(after.node_id))
            case None:
                pass
            case _:
                self._wake(getattr(after, "name", ""))
        if before is None and not isinstance(after, TimelineEvent):
            # From now on nothing is missed by who looks and then waits, though it changes in between.
            self._news.setdefault(getattr(after, "name", ""), asyncio.Event())

    def _node_changed(self, before: Record | None, after: Node) -> None:
        self._node_names[after.id] = after.name
        if not isinstance(before, Node) or before.state is not after.state:
            self._add(Origin.PROVISIONER, "node", "state", after.name, "", {"state": str(after.state)})
            if after.state not in PASSING:
                self._wake(after.name)
        if not isinstance(before, Node) or before.owner != after.owner:
            self._owners[after.name] = after.owner or ""
            detail = {"owner": after.owner or "", "fence": after.fence}
            self._add(Origin.PROVISIONER, "lease", "owner", after.name, "", detail)

    def _moved(self, before: Record | None, after: Instance) -> None:
        """Its deploy was given up on a node, and is to be tried on another one."""
        if not isinstance(before, Instance) or not before.node_id or after.node_id:
            return
        if after.state is InstanceState.REQUESTED and after.failure is not None:
            detail = {"instance": after.name, "failure": after.failure.code}
            node = self.node_name(before.node_id)
            self._add(Origin.PROVISIONER, "instance", "moved", node, "", detail)

    def _timeline(self, event: TimelineEvent) -> None:
        if event.name.startswith("step."):
            detail = {"step": event.step, "text": event.text}
            self._add(Origin.PROVISIONER, "step", event.name, self.node_name(event.node_id), "", detail)
        self._told("a timeline", f"{event.text} {dict(event.detail)}" if event.detail else event.text)

    def _wake(self, name: str) -> None:
        if event := self._news.get(name):
            event.set()


def _shown(instance: Instance) -> tuple[object, ...]:
    """What its client waits for."""
    return instance.state, instance.node_id, instance.failure
