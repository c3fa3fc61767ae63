"""A failure as a person reads it in a terminal: what broke, what led to it, how to see it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from scenarios.runner.trace import Event
from scenarios.runner.verdict import Breach, Played, Verdict

AROUND = 20
"""Events told of each breach."""

AFTER = 4
"""So many of them come after it: what the others did next often tells who was wrong."""

TOLD = 5
"""Breaches told with their events. Later ones mostly follow from the first."""

MARK = "> "


def failure_text(played: Played) -> str:
    """Empty for a story that passed."""
    result = played.result
    if result.verdict is Verdict.PASS:
        return ""
    commands = {"replay": result.replay, "keep": result.keep}
    head = f"{result.verdict.upper()} {result.scenario} at {result.fidelity}, seed {result.seed}"
    lines = [f"{head} ({result.file})" if result.file else head]
    events = list(played.trace)
    if result.verdict is Verdict.INFRA:
        lines += ["", f"The lab broke, nothing is said about the provisioner: {result.trouble}"]
        lines += _listed("The last events:", events[-AROUND:], None)
    elif result.trouble:
        lines += ["", f"The lab broke too, which doesn't explain it: {result.trouble}"]
    for breach in result.breaches[:TOLD]:
        lines += ["", f"{breach.promise}, at {breach.at_s:.3f} s: {breach.what}", *_led_to(breach, events)]
    if further := result.breaches[TOLD:]:
        lines += ["", f"{len(further)} more:"]
        lines += [f"  {breach.promise}, at {breach.at_s:.3f} s: {breach.what}" for breach in further]
    lines.append("")
    lines += [f"{verb}: {command}" for verb, command in commands.items() if command]
    return "\n".join(lines)


def _led_to(breach: Breach, events: Sequence[Event]) -> Iterator[str]:
    """Of a breach that one node's event shows, only that node's events and those that concern no node: in a
    rack of a thousand the others are noise."""
    if breach.event is None or not 0 <= breach.event < len(events):
        before = deque((event for event in events if event.t_s <= breach.at_s), maxlen=AROUND)
        return _listed("The last events before it:", list(before), None)
    shown = events[breach.event]
    near = [
        index
        for index, event in enumerate(events)
        if not shown.node or event.node in (shown.node, "") or index == breach.event
    ]
    place = near.index(breach.event)
    start = max(0, min(place + 1 + AFTER, len(near)) - AROUND)
    whose = f"Events of {shown.node} and of the rack around it:" if shown.node else "Events around it:"
    return _listed(whose, [events[index] for index in near[start : start + AROUND]], shown)


def _listed(title: str, events: Sequence[Event], marked: Event | None) -> Iterator[str]:
    if not events:
        yield "  No event was seen."
        return
    yield f"  {title}"
    for event in events:
        yield f"  {MARK if event is marked else '  '}{event.to_line()}"
