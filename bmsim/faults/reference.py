"""The catalogue for people to read: a page of the documentation, made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import STRUCK, By, Fault, Parameter

INTRODUCTION = """\
# Faults

What can be made to go wrong in a rack, from `bmsim/faults/`. `bmsim fault ls` and `bmsim fault show NAME`
tell the same on a terminal. A fault strikes from when it is injected until it is healed:

    bmsim rack fault n1 net.drop probability=0.3 'protocols=[tftp]'
    bmsim rack heal n1 net.drop

Each time that a rack sees a fault strike, its audit log (`bmsim rack log`) has an entry `struck` of the
device `fault`. Those that are injected by the runner need a provisioner to strike at: a scenario brings
them about.
"""


def page() -> str:
    return INTRODUCTION + "".join(_sections())


def as_data(fault: Fault) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "name": fault.name,
        "what": fault.what,
        "heals": fault.heals,
        "source": fault.source,
        "strikes": str(fault.strikes),
        "fidelities": sorted(fault.fidelities),
        "by": str(fault.by),
        "parameters": [
            {
                "name": each.name,
                "default": each.default,
                "kinds": [kind.__name__ for kind in each.kinds],
                "choices": list(each.choices),
                "least": each.least,
                "most": each.most,
                "meaning": each.meaning,
            }
            for each in fault.parameters
        ],
    }


def where(fault: Fault) -> str:
    """At which fidelities it can be injected, and by whom."""
    if not fault.fidelities:
        return "nowhere yet"
    by = "" if fault.by is By.NOBODY else f", there injected by {fault.by}"
    return " and ".join(sorted(fault.fidelities, reverse=True)) + by


def _sections() -> Iterator[str]:
    family = ""
    for fault in CATALOGUE.values():
        if fault.family != family:
            family = fault.family
            yield f"\n## {family}\n"
        yield f"\n### `{fault.name}`\n\n"
        yield f"- What happens: {fault.what}.\n- Heals: {fault.heals}.\n- Strikes: {STRUCK[fault.strikes]}.\n"
        yield f"- Fidelities: {where(fault)}.\n- Seen in the wild: {fault.source}.\n"
        if fault.parameters:
            yield "\n| parameter | default | values | meaning |\n|---|---|---|---|\n"
            yield from map(_row, fault.parameters)


def _row(parameter: Parameter) -> str:
    may_be = ", ".join(f"`{choice}`" for choice in parameter.choices) or values(parameter)
    default = json.dumps(parameter.default)
    return f"| `{parameter.name}` | `{default}` | {may_be} | {parameter.meaning} |\n"


def values(parameter: Parameter) -> str:
    """What it may be."""
    if parameter.choices:
        return ", ".join(parameter.choices)
    least = "" if parameter.least is None else f", at least {parameter.least:g}"
    most = "" if parameter.most is None else f", at most {parameter.most:g}"
    return parameter.kinds_in_words.removeprefix("a ") + least + most
