"""From what was seen on the wire to the last step that was proven, and the likely cause of the rest.

A netbooting node climbs a ladder. The highest rung with evidence is the last thing proven; the first
rung without is what didn't happen, and each has its usual reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.core.ladders import Ladder, Rung
from provisioner.core.model import TimelineEvent


@dataclass(frozen=True, slots=True)
class ConsoleSign:
    """What a kernel or its loader says when it goes no further. pattern: in a line; cause: what it means."""

    pattern: str
    cause: str


BOOT_STOPPED = (
    ConsoleSign(
        r"not ELF machine \d+",
        "Kernel and root file system must be built for the node's processor: register such an image",
    ),
    ConsoleSign(
        r"[Nn]o (working )?init found|Unable to mount root",
        "The root file system has no program to start, or wasn't served: look at the image and nfs.server",
    ),
    ConsoleSign(r"Kernel panic", "The instance's kernel panicked: look at the image"),
)


def boot_stopped(console: str) -> tuple[str, str] | None:
    """The line on which a boot ended, and what it means; None: nothing tells that it did."""
    for sign in BOOT_STOPPED:
        if found := re.search(rf"^.*(?:{sign.pattern}).*$", console, re.MULTILINE):
            return found.group(0).strip()[:200], sign.cause
    return None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    last_proven: str
    likely_cause: str


def diagnose(ladder: Ladder, events: Iterable[TimelineEvent]) -> Diagnosis:
    """The highest proven rung and the likely cause, from the events since the power was switched."""
    seen = {(event.name, str(event.detail.get("file", ""))) for event in events}
    names = {name for name, _ in seen}

    def proven(rung: Rung) -> bool:
        if not rung.files:
            return rung.event in names
        return any((rung.event, file) in seen for file in rung.files)

    highest = -1
    for position, rung in enumerate(ladder):
        if proven(rung):
            highest = position
    return reached(ladder, highest)


def reached(ladder: Ladder, highest: int) -> Diagnosis:
    """highest: the position of the highest proven rung; -1 when there is none."""
    last = ladder[highest].proven if highest >= 0 else "nothing was seen of the node"
    if highest >= 0 and ladder[highest].then:
        return Diagnosis(last, ladder[highest].then)
    for rung in ladder[highest + 1 :]:
        if not rung.optional:
            return Diagnosis(last, rung.missing)
    return Diagnosis(last, "everything that the wire can show was seen; the console tells more")
