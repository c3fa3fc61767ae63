"""What a flavor asks for beyond sizes: words about a node, each with a comparison.

A value is `>= 4`, `<= 4`, `> 4`, `< 4`, `== x`, `!= x`, `<or> x <or> y`, or x alone, which is `== x`. The
first four are for numbers. (OpenStack's operators, but for its `=` and its words for texts.)

Names are facts that every node has, `capabilities:NAME` of what its operator says of it, and `trait:NAME` of
what its agent found, `required` or `forbidden`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from provisioner.core.errors import InvalidInput
from provisioner.core.model import Node

Fact = int | str | bool | None
"""None: not known before the node's agent has reported once."""

FACTS: Mapping[str, type] = {
    "cpu_arch": str,
    "cpus": int,
    "vcpus": int,
    "memory_mib": int,
    "disk_mib": int,
    "firmware": str,
    "boot": str,
    "deploy": str,
    "power": str,
    "disks": int,
    "ssd": bool,
    "nics": int,
    "nic_mbps": int,
}
"""Each name that a flavor may use, with the kind of its values; `docs/flavors.md` tells what they mean."""

REPORTED = ("disks", "ssd", "nics", "nic_mbps")
"""Those of them that a node's agent tells."""

CAPABILITY = "capabilities:"
TRAIT = "trait:"
TRAIT_VALUES = ("required", "forbidden")

ARCHITECTURES = ("x86_64", "arm64", "armhf", "tilepro64")
DEBIAN_NAMES = {"x86_64": "amd64"}
"""Of those that Debian calls otherwise."""

_SIZES: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_LIKE_A_COMPARISON = re.compile("s?[<>=!]")
"""Ours without a blank behind it, or OpenStack's: `<in>`, `<all-in>`, `s==`, `=`."""


def facts(node: Node) -> dict[str, Fact]:
    found: dict[str, Fact] = {
        "cpu_arch": node.arch,
        "cpus": node.cpus,
        "vcpus": node.cpus,
        "memory_mib": node.memory_mib,
        "disk_mib": node.disk_mib,
        "firmware": node.firmware,
        "boot": node.boot_driver,
        "deploy": node.deploy_driver,
        "power": node.power_driver,
        **dict.fromkeys(REPORTED),
    }
    if node.inventory is not None:
        disks, nics = node.inventory.get("disks") or (), node.inventory.get("nics") or ()
        speeds = [nic.get("speed_mbps") or 0 for nic in nics]
        found |= {"disks": len(disks), "nics": len(nics), "nic_mbps": max(speeds, default=0)}
        found["ssd"] = bool(disks) and not any(disk.get("rotational") for disk in disks)
    return found


def unmet(specs: Mapping[str, str], node: Node) -> str | None:
    """The first of them that the node doesn't meet, in words; None: it meets all."""
    if not specs:
        return None
    known = facts(node)
    for name, wanted in specs.items():
        if name.startswith(CAPABILITY):
            why = _without_capability(name.removeprefix(CAPABILITY), wanted, node)
            if why is not None:
                return why
            continue
        if name.startswith(TRAIT):
            why = _against_trait(name.removeprefix(TRAIT), wanted, node)
            if why is not None:
                return why
            continue
        if name not in FACTS:
            return f"its flavor asks for {name}, which nobody knows of nodes"
        found = known[name]
        if found is None:
            return f"its {name} isn't known before its agent has reported once, {wanted} is asked for"
        if not _meets(found, wanted):
            return f"its {name} is {_text(found)}, {wanted} is asked for"
    return None


def without_reported(specs: Mapping[str, str]) -> Mapping[str, str]:
    """Those that are met, or not, before a node's agent has reported, and as long as it is enrolled."""
    return {
        name: wanted for name, wanted in specs.items() if name not in REPORTED and not name.startswith(TRAIT)
    }


def asks_for_another(arch: str, specs: Mapping[str, str]) -> str:
    """What a flavor asks for in place of this architecture; empty: it takes it."""
    wanted = specs.get("cpu_arch", "")
    return wanted if wanted and not _meets(arch, wanted) else ""


def traits(node: Node) -> frozenset[str] | None:
    """What its agent found its processor and its parts to have. None: none has reported yet."""
    found = None if node.inventory is None else node.inventory.get("traits")
    return None if found is None else frozenset(map(str, found))


def _without_capability(name: str, wanted: str, node: Node) -> str | None:
    found = node.capabilities.get(name)
    if found is None:
        return f"its operator says nothing of its {name}, {wanted} is asked for"
    return None if _meets(found, wanted) else f"its {name} is {found}, {wanted} is asked for"


def _against_trait(name: str, wanted: str, node: Node) -> str | None:
    found = traits(node)
    if found is None and node.inventory is not None:
        return f"its agent told no traits, so nobody knows whether it has {name}"
    if found is None:
        return f"whether it has {name} isn't known before its agent has reported once"
    if (name in found) is (wanted.strip() == "required"):
        return None
    return f"it has no {name}" if name not in found else f"it has {name}, which is forbidden"


def check(specs: Mapping[str, str], field: str) -> None:
    """Raises InvalidInput for a name or a comparison that there is not."""
    for name, wanted in specs.items():
        _check_comparison(name, wanted, field)
        if name.startswith((CAPABILITY, TRAIT)):
            _check_open(name, wanted, field)
            continue
        if name not in FACTS:
            raise _refusal(
                name,
                field,
                "there is no such fact",
                f"There are: {', '.join(FACTS)}, {CAPABILITY}NAME and {TRAIT}NAME",
            )
        kind = FACTS[name]
        word, _, rest = wanted.strip().partition(" ")
        if word in _SIZES and (kind is not int or not _is_number(rest)):
            raise _refusal(name, field, f"{wanted!r} compares no whole number", "Write it as >= 4")
        values = _values(wanted)
        if not all(values) or (kind is int and word not in _SIZES and not all(map(_is_number, values))):
            raise _refusal(name, field, f"{wanted!r} is no value of it", "Write it as >= 4, or 4")
        if name == "cpu_arch" and not set(values) <= set(ARCHITECTURES):
            advice = f"There are: {', '.join(ARCHITECTURES)}"
            raise _refusal(name, field, f"{wanted!r} is no architecture that is known", advice)
        if kind is bool and not set(values) <= {"true", "false"}:
            raise _refusal(name, field, f"{wanted!r} is neither true nor false", "Write true or false")


def _check_comparison(name: str, wanted: str, field: str) -> None:
    """What looks like one and is none would be a word that no node is called by, and waited for forever."""
    word = wanted.strip().partition(" ")[0]
    if word in _SIZES:
        return
    values = _values(wanted)
    if any("<or>" in value for value in values) or (
        word not in ("==", "!=") and any(map(_LIKE_A_COMPARISON.match, values))
    ):
        raise _refusal(
            name,
            field,
            f"{wanted!r} is no comparison that is known",
            "Write >= 4, <= 4, > 4, < 4, == x or != x, each with a blank, or <or> x <or> y",
        )


def _check_open(name: str, wanted: str, field: str) -> None:
    """Of what there may be any number of."""
    word, _, rest = wanted.strip().partition(" ")
    if not name.partition(":")[2]:
        raise _refusal(name, field, "it names nothing", f"Write it as {name}NAME")
    if name.startswith(TRAIT) and wanted.strip() not in TRAIT_VALUES:
        raise _refusal(name, field, f"{wanted!r} is neither", f"Write {' or '.join(TRAIT_VALUES)}")
    if word in _SIZES and not _is_number(rest):
        raise _refusal(name, field, f"{wanted!r} compares no whole number", "Write it as >= 4")
    if not all(_values(wanted)):
        raise _refusal(name, field, f"{wanted!r} is no value of it", "Write it as >= 4, or 4")


def _refusal(name: str, field: str, answer: str, advice: str) -> InvalidInput:
    return InvalidInput(f"ask for {name}", field=f"{field}.{name}", answer=answer, advice=advice)


def _meets(found: int | str | bool, wanted: str) -> bool:
    word, _, rest = wanted.strip().partition(" ")
    text = _text(found)
    if word in _SIZES:
        return _is_number(rest) and _is_number(text) and _SIZES[word](int(text), int(rest))
    is_one = any(_is_same(text, value) for value in _values(wanted))
    return not is_one if word == "!=" else is_one


def _is_same(one: str, other: str) -> bool:
    """As texts or as numbers: 0100 is itself, and 100."""
    return one == other or (_is_number(one) and _is_number(other) and int(one) == int(other))


def _values(wanted: str) -> tuple[str, ...]:
    """What is compared with."""
    word, _, rest = wanted.strip().partition(" ")
    if word == "<or>":
        return tuple(part.strip() for part in rest.split("<or>"))
    return (rest.strip() if word in (*_SIZES, "==", "!=") else wanted.strip(),)


def _text(found: int | str | bool) -> str:
    return str(found).lower() if isinstance(found, bool) else str(found)


def _is_number(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit()
