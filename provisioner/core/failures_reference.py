"""`docs/failures.md`, written from the tables that failures are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import starmap

from provisioner.core.blame import BLAME
from provisioner.core.diagnosis import BOOT_STOPPED, Diagnosis, reached
from provisioner.core.failures import FAILURES
from provisioner.core.ladders import (
    DISK_INSTANCE_LADDERS,
    NETBOOT_INSTANCE_LADDERS,
    RAMDISK_LADDERS,
    Ladder,
)

INTRODUCTION = """\
# Failures

A failure has a `code`, a `message` (what was tried, on which device, what came back, what to do), the `step`
that it happened in, what was `last_proven`, and a `likely_cause`. `provisioner instance show` tells it, and
`provisioner node show`; so does the REST API, as `failure`. What an operator does about each code is here;
what becomes of the request, in [flavors](flavors.md#when-the-node-turns-out-to-be-bad).

Once a node is mended: `provisioner node verify NODE` if it is `enrol_failed`, `provisioner node clean NODE`
if it is `clean_failed`, and `provisioner node maintenance NODE off` if the failure took it out of service.
If it is switched otherwise now, `provisioner node power-device NODE -f FILE` comes before that.
A `clean_failed` node that owes a wipe isn't deleted, but by `--unwiped`: enrolled anew, it would give the
next instance the last one's data. One whose power device is dead for good keeps its instance, which may
still run: once you have unplugged it, `provisioner node delete NODE --unplugged --unwiped` removes both.

| code | what happened | whose fault | what to do |
|---|---|---|---|
"""

RAMDISK = """
## How far the ramdisk came

By `boot` of the node: what was seen last of a boot that ended as `agent-never-reported`, and why nothing
followed, most probably. The failure's `message` says it, behind "last proven:"; its field `last_proven` names
the last step that ended.

"""

INSTANCE = """
## How far the instance came

The same of a boot that ended as `instance-never-seen`, where it doesn't stand above.

"""

BOOTS = "| boot | last proven | likely cause |\n|---|---|---|\n"

CONSOLES = """
## What consoles say

| the console of a node has | likely cause |
|---|---|
"""


def page() -> str:
    """In Markdown."""
    return "".join(
        (
            *(INTRODUCTION, *map(_row, FAILURES)),
            *(RAMDISK, BOOTS, *starmap(_boot_row, _ramdisk().items())),
            *(INSTANCE, BOOTS, *starmap(_boot_row, _instance().items())),
            *(CONSOLES, *(f"| `{_cell(sign.pattern)}` | {_cell(sign.cause)} |\n" for sign in BOOT_STOPPED)),
        )
    )


def _row(code: str) -> str:
    blame, known = BLAME.get(code), FAILURES[code]
    whose = "" if blame is None else f"{'the node' if blame.own else 'not the node'}: {blame.reason}"
    return f"| `{code}` | {_cell(known.happened)} | {_cell(whose)} | {_cell(known.remedy)}. |\n"


Boots = Mapping[Diagnosis, tuple[str, ...]]
"""How far boots came, each with the boot drivers that it may befall."""


def _ramdisk() -> Boots:
    return _by_driver(RAMDISK_LADDERS.items())


def _instance() -> Boots:
    ladders = (*NETBOOT_INSTANCE_LADDERS.items(), *DISK_INSTANCE_LADDERS.items())
    told = _ramdisk()
    others = {
        far: tuple(driver for driver in drivers if driver not in told.get(far, ()))
        for far, drivers in _by_driver(ladders).items()
    }
    return {far: drivers for far, drivers in others.items() if drivers}


def _by_driver(ladders: Iterable[tuple[str, Ladder]]) -> Boots:
    """Of all of a ladder but its top: whoever comes there has succeeded."""
    found: dict[Diagnosis, tuple[str, ...]] = {}
    for driver, ladder in ladders:
        for highest in range(-1, len(ladder) - 1):
            far = reached(ladder, highest)
            if driver not in found.get(far, ()):
                found[far] = (*found.get(far, ()), driver)
    return found


def _boot_row(far: Diagnosis, drivers: Iterable[str]) -> str:
    named = ", ".join(f"`{driver}`" for driver in drivers)
    return f"| {named} | {_cell(far.last_proven)} | {_cell(far.likely_cause)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
