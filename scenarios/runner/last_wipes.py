"""How much of a node's disk is blank when it is offered: by the instance that it had last."""

from __future__ import annotations

from scenarios.runner.story import Deploy, Story
from scenarios.runner.trace import Event


class LastWipes:
    """`see` is shown each event of the trace."""

    def __init__(self, story: Story) -> None:
        self._wipes = {one.instance: one.wipe for one in story.requests if isinstance(one, Deploy)}
        self._last: dict[str, str] = {}

    def see(self, event: Event) -> None:
        if event.source != "client" or event.name != "instance" or not event.node:
            return
        # One that is deleted before it had a machine names the node that it was asked for.
        if event.detail["state"] not in ("requested", "deleted"):
            self._last[event.node] = self._wipes.get(event.detail["instance"], "quick")

    def everywhere(self, node: str) -> bool:
        """Else both ends of the disk alone: a quick wipe leaves what lies between."""
        return self._last.get(node) == "full"
