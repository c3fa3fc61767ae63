"""The rack comes to rest: nothing is left of work that nobody waits for, as of nodes that instances left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.runner.client import Client
from scenarios.runner.deadlines import Deadlines
from scenarios.runner.stage import BadAnswer, Stage
from scenarios.runner.story import Story

WITH_INSTANCE = ("active", "deploy_failed")
WITHOUT = ("available", "enrol_failed")
"""States in which a node may stay, with an instance and without one."""


async def restless(story: Story, stage: Stage, client: Client, deadlines: Deadlines) -> list[str]:
    """Returns when every node is at rest, or has had its time: a sentence for each that isn't. What a story
    expects of a node is for the story to say."""
    expected = {(one.node, one.state) for one in story.expected}
    end_s = stage.now_s() + deadlines.clean_s
    while True:
        try:
            views = await client.look_at_nodes()
        except BadAnswer as error:
            return [str(error)]
        left = [view for view in views if not _rests(view) and (view["name"], view["state"]) not in expected]
        if not left or stage.now_s() >= end_s:
            return [_told(view, deadlines.clean_s) for view in left]
        await stage.news(left[0]["name"])


def _rests(view: Mapping[str, Any]) -> bool:
    return view["work"] is None and view["state"] in (WITH_INSTANCE if view["instance"] else WITHOUT)


def _told(view: Mapping[str, Any], allowed_s: float) -> str:
    work = view["work"]
    step = f"step {work['step']} of {work['plan']}" if work else "without work"
    whose = f"with instance {view['instance']}" if view["instance"] else "without an instance"
    return (
        f"node {view['name']} is {view['state']} {whose}, {step}, {allowed_s:.0f} s after everything had "
        "healed and all requests had ended"
    )
