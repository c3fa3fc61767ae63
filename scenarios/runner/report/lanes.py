"""A trace as lanes: which events are marks on which lane, and which pairs of them bound a span."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from scenarios.runner.trace import Event


class Lane(StrEnum):
    """From top to bottom."""

    FAULTS = "faults"
    STATE = "state"
    STEPS = "steps"
    POWER = "power"
    WIRE = "wire"
    OWNER = "owner"


class Tone(StrEnum):
    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """group: the node, or the compute host, or "" for the rack. event: its index in the trace."""

    group: str
    lane: Lane
    tone: Tone
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """event: that began it. to_s: the end of the story, if nothing ended it."""

    group: str
    lane: Lane
    tone: Tone
    label: str
    from_s: float
    to_s: float
    event: int


LANES: Mapping[str, Lane] = {
    "fault": Lane.FAULTS,
    "host": Lane.FAULTS,
    "request": Lane.STATE,
    "client": Lane.STATE,
    "node": Lane.STATE,
    "instance": Lane.STATE,
    "step": Lane.STEPS,
    "bmc": Lane.POWER,
    "pdu": Lane.POWER,
    "machine": Lane.POWER,
    "lease": Lane.OWNER,
}
"""By source; what is told of any other source was seen on a wire or a disk."""

_TONES = {
    **dict.fromkeys(("step.failed", "refused", "hung", "killed", "crashed", "injected"), Tone.BAD),
    **dict.fromkeys(
        ("step.retry", "step.resumed", "step.waiting", "stopped", "told_to_end", "struck"), Tone.WARN
    ),
    **dict.fromkeys(("step.done", "healed", "started", "continued"), Tone.GOOD),
}
_PHASE_TONES = {"instance": Tone.GOOD, "hung": Tone.BAD}
_POWER_ON = frozenset({"chassis.power.on", "chassis.power.cycle", "chassis.power.reset"})
_POWER_OFF = frozenset({"chassis.power.off", "chassis.power.soft"})


def group_of(event: Event) -> str:
    """A compute host has a row of its own, for what happens to it."""
    return event.node or str(event.detail.get("host", ""))


def marks(events: Iterable[Event]) -> list[Mark]:
    return [
        Mark(
            group=group_of(event),
            lane=LANES.get(event.source, Lane.WIRE),
            tone=_tone(event),
            event=index,
        )
        for index, event in enumerate(events)
    ]


def _tone(event: Event) -> Tone:
    if event.source in ("bmc", "pdu") and str(event.detail.get("result", "ok")) != "ok":
        return Tone.BAD
    return _TONES.get(event.name, Tone.PLAIN)


def spans(events: Iterable[Event]) -> list[Span]:
    """In the order of their ends."""
    every = list(events)
    # Machines of real firmware don't tell their phases: what their BMCs did stands for it.
    telling = frozenset(event.node for event in every if event.source == "machine")
    drawing = _Drawing(telling)
    for index, event in enumerate(every):
        drawing.take(index, event)
    return drawing.finish(max((event.t_s for event in every), default=0.0))


@dataclass(slots=True)
class _Drawing:
    """Spans that are open, by what ends them."""

    telling: frozenset[str]
    open: dict[tuple[str, Lane, str], Span] = field(default_factory=dict)
    closed: list[Span] = field(default_factory=list)

    def take(self, index: int, event: Event) -> None:
        detail = event.detail
        match event.source, event.name:
            case "step", "step.started" | "step.resumed":
                self._begin(index, event, str(detail.get("step", "")), key=str(detail.get("step", "")))
            case "step", "step.done" | "step.failed":
                tone = Tone.GOOD if event.name == "step.done" else Tone.BAD
                self._end(event, key=str(detail.get("step", "")), tone=tone)
            case "node", "state":
                state = str(detail.get("state", ""))
                self._begin(index, event, state, tone=_state_tone(state))
            case "lease", "owner":
                self._follow(index, event, str(detail.get("owner", "")))
            case "fault", "injected":
                self._begin(index, event, str(detail.get("fault", "")), _fault(event), Tone.BAD)
            case "fault", "healed":
                self._end(event, key=_fault(event))
            case "host", "killed" | "stopped":
                tone = Tone.BAD if event.name == "killed" else Tone.WARN
                self._begin(index, event, event.name, "host", tone)
            case "host", "started" | "continued":
                self._end(event, key="host")
            case "machine", phase:
                label = "" if phase == "off" else phase
                self._follow(index, event, label, _PHASE_TONES.get(phase, Tone.PLAIN))
            case "bmc", verb if event.node not in self.telling and detail.get("result", "ok") == "ok":
                if verb in _POWER_ON or verb in _POWER_OFF:
                    self._follow(index, event, "on" if verb in _POWER_ON else "")
            case _:
                pass

    def finish(self, end_s: float) -> list[Span]:
        self.closed += [replace(span, to_s=max(end_s, span.from_s)) for span in self.open.values()]
        self.open.clear()
        return self.closed

    def _follow(self, index: int, event: Event, label: str, tone: Tone = Tone.PLAIN) -> None:
        """One span after another; an empty label ends the last one."""
        if label:
            self._begin(index, event, label, tone=tone)
        else:
            self._end(event)

    def _begin(self, index: int, event: Event, label: str, key: str = "", tone: Tone = Tone.PLAIN) -> None:
        self._end(event, key)
        lane, group = LANES[event.source], group_of(event)
        self.open[group, lane, key] = Span(
            group=group,
            lane=lane,
            tone=tone,
            label=label,
            from_s=event.t_s,
            to_s=event.t_s,
            event=index,
        )

    def _end(self, event: Event, key: str = "", tone: Tone | None = None) -> None:
        span = self.open.pop((group_of(event), LANES[event.source], key), None)
        if span is not None:
            end_s = max(event.t_s, span.from_s)
            self.closed.append(replace(span, to_s=end_s, tone=span.tone if tone is None else tone))


def _state_tone(state: str) -> Tone:
    if state.endswith("failed"):
        return Tone.BAD
    return Tone.GOOD if state == "active" else Tone.PLAIN


def _fault(event: Event) -> str:
    """The same fault may strike a node twice, with other parameters: each heals for itself."""
    return f"{event.detail.get('fault', '')} {event.detail.get('parameters', '')}"
