"""One HTML page of all stories, whole in itself: it asks nothing of any network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from scenarios.runner.report.lanes import Lane, Tone, group_of, marks, spans
from scenarios.runner.trace import Event
from scenarios.runner.verdict import Played, Verdict

MOST_EVENTS = 500_000
"""On one page: about 25 MB. Beyond it stories keep their row in the table and lose their timeline."""

PROGRAM = ("rows.js", "view.js", "timeline.js", "page.js")

_LANES = tuple(Lane)
_TONES = tuple(Tone)
_WORST_FIRST = (Verdict.FAIL, Verdict.INFRA, Verdict.PASS)


def page(played: Iterable[Played], *, most_events: int = MOST_EVENTS) -> str:
    """Stories that failed come first."""
    every = sorted(played, key=lambda one: _WORST_FIRST.index(one.result.verdict))
    words = _Words()
    stories, room = [], most_events
    for one in every:
        drawn = len(one.trace) <= room and not one.left_out
        room -= len(one.trace) if drawn else 0
        stories.append(_story(one, words, drawn=drawn))
    data = {
        "lanes": [str(lane) for lane in _LANES],
        "tones": [str(tone) for tone in _TONES],
        "stories": stories,
        "words": words.every,
    }
    parts = resources.files(__package__)
    text = (parts / "page.html").read_text("utf-8")
    for mark, content in (
        ("/*style*/", (parts / "page.css").read_text("utf-8")),
        ("/*program*/", "\n".join((parts / name).read_text("utf-8") for name in PROGRAM)),
        ("/*data*/", _embedded(data)),  # last: what a node says is never looked through for marks
    ):
        text = text.replace(mark, content, 1)
    return text


def _embedded(data: Any) -> str:
    """JSON that can't end the script element which holds it (HTML, 4.12.1.3)."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Words:
    """Each string once: a trace repeats a few names a hundred thousand times."""

    def __init__(self) -> None:
        self.every: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, word: str) -> int:
        if (place := self._places.get(word)) is None:
            place = self._places[word] = len(self.every)
            self.every.append(word)
        return place


def _story(played: Played, words: _Words, *, drawn: bool) -> dict[str, Any]:
    result = played.result
    told = {
        "name": result.scenario,
        "file": result.file,
        "fidelity": result.fidelity,
        "seed": str(result.seed),  # JavaScript's numbers end at 2**53
        "verdict": str(result.verdict),
        "trouble": result.trouble,
        "took_s": round(result.took_s, 3),
        "story_s": round(result.story_s, 3),
        "replay": result.replay,
        "sha256": result.trace_sha256,
        "count": len(played.trace) + played.left_out,
        "breaches": [
            [breach.promise, breach.what, round(breach.at_s, 3), breach.event] for breach in result.breaches
        ],
    }
    if not drawn:
        return {**told, "groups": [], "events": [], "spans": []}
    events = list(played.trace)
    groups = _groups(events)
    places = {group: place for place, group in enumerate(groups)}
    return {
        **told,
        "groups": groups,
        "events": _event_columns(events, places, words),
        "spans": [
            [
                places[span.group],
                _LANES.index(span.lane),
                _TONES.index(span.tone),
                words.place(span.label),
                round(span.from_s, 3),
                round(span.to_s, 3),
                span.event,
            ]
            for span in spans(events)
        ],
    }


def _groups(events: Sequence[Event]) -> list[str]:
    """The rack, the compute hosts, then the nodes, as a person counts them: n2 before n10."""
    nodes = {event.node for event in events if event.node}
    others = {group_of(event) for event in events} - nodes
    return [*sorted(others, key=_counted), *sorted(nodes, key=_counted)]


def _counted(name: str) -> tuple[str, int, str]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0), name


def _event_columns(
    events: Sequence[Event], places: dict[str, int], words: _Words
) -> list[list[int] | list[float]]:
    """Columns, not rows: half the size. Order: see EVENT in page.js."""
    drawn = marks(events)
    return [
        [round(event.t_s, 3) for event in events],
        [places[mark.group] for mark in drawn],
        [_LANES.index(mark.lane) for mark in drawn],
        [_TONES.index(mark.tone) for mark in drawn],
        [words.place(event.source) for event in events],
        [words.place(event.name) for event in events],
        [words.place(event.sender) for event in events],
        [words.place(_detail(event)) for event in events],
    ]


def _detail(event: Event) -> str:
    return "  ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in event.detail.items()
        if value not in ("", None)
    )
