"""ACTIVE means that the instance was seen running."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.invariants.requests_seen import ASKED, RequestsSeen
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class SeenRunning:
    """When the client is told ACTIVE, the instance's own system has run on the node since it was asked
    for. (It may have stopped again a moment later: machines lose power.) What ran for one that is to go says
    nothing of the next, be it of the same image."""

    name = "seen_running"
    sources: tuple[str, ...] = (*ASKED, "machine")

    def __init__(self) -> None:
        self._seen = RequestsSeen()
        self._ran: dict[str, str] = {}  # node → image whose system ran there last
        self._unseen: dict[str, list[str]] = {}  # node → what was to run each time that nobody could tell
        self._up: dict[str, bool] = {}  # board → whether it told that it is up since an instance was deleted

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        self._seen.see(event)
        if event.origin is Origin.STAGE and (event.source, event.name) == ("request", "delete"):
            self._ran.pop(self._seen.place_of(event.detail["instance"]), None)
        if event.origin is Origin.DEVICE and event.source == "machine":
            if event.name == "instance":
                self._ran[event.node] = str(event.detail.get("image", ""))
            elif event.name == "agent":
                self._ran.pop(event.node, None)
            elif event.name == "up":
                self._up[event.node] = True
        told = (event.source, event.name) == ("client", "instance") and event.origin is Origin.STAGE
        if told and event.detail["state"] == "deleted" and event.node in self._up:
            self._up[event.node] = False
        if told and event.detail["state"] == "active":
            instance, ran = self._seen.on(event.node), self._ran.get(event.node, "")
            if instance is None or ran == instance.image:
                return
            running = look.running(event.node)
            if not self._up.get(event.node, True):
                yield self._breach(event.node, "what an instance before it had", event.t_s, index)
            elif running is None:
                self._unseen.setdefault(event.node, []).append(instance.image)
            elif running != instance.image:
                yield self._breach(event.node, ran, event.t_s, index)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        for node, images in self._unseen.items():
            for image, ran in zip(images, look.ran(node), strict=True):
                if ran != image:
                    yield self._breach(node, "", now_s, None)

    def _breach(self, node: str, ran: str, at_s: float, index: int | None) -> Breach:
        told = f"it is {ran} that ran there" if ran else "its system never ran"
        what = f"the instance on {node} was called active, and {told}"
        return Breach(promise=self.name, what=what, at_s=at_s, event=index)
