"""What a fault is, as data: what happens, to what, with which parameters, at which depths of truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class BadFault(ValueError):
    """No such fault or parameter, or a value of the wrong kind; the message says what there is."""


KINDS: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "yes or no",
    list: "a list",
    tuple: "a list",
}
"""As people say it."""


class Strikes(StrEnum):
    """What a fault is aimed at: a node (its BMC, its wires and those of its PDUs are the node's), a
    compute host, an image, or what all of them share."""

    NODE = "node"
    HOST = "host"
    IMAGE = "image"
    RACK = "rack"


class By(StrEnum):
    """Who brings a fault about on real machines."""

    RACK = "the rack"
    RUNNER = "the runner"
    NOBODY = "nobody yet"


@dataclass(frozen=True, slots=True)
class Parameter:
    """kinds:   the types that a value may have, besides being null where the default is
    choices: the only values there are, if any; of a list, its items'
    least, most: the numbers that make sense"""

    name: str
    default: Any
    kinds: tuple[type, ...]
    meaning: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    @property
    def kinds_in_words(self) -> str:
        kinds = [kind for kind in self.kinds if not (kind is int and float in self.kinds)]
        return " or ".join(dict.fromkeys(KINDS[kind] for kind in kinds))

    def check(self, fault: str, value: Any) -> None:
        """Raises BadFault."""
        if value is None and self.default is None:
            return
        # A bool is an int to Python, and to nobody else.
        fits = bool in self.kinds if isinstance(value, bool) else isinstance(value, self.kinds)
        if not fits:
            told = f"{fault}: {self.name} is {value!r}; it must be {self.kinds_in_words} ({self.meaning})"
            raise BadFault(told)
        if self.least is not None and value < self.least:
            raise BadFault(f"{fault}: {self.name} is {value!r}; it must be at least {self.least:g}")
        if self.most is not None and value > self.most:
            raise BadFault(f"{fault}: {self.name} is {value!r}; it must be at most {self.most:g}")
        for item in value if isinstance(value, list | tuple) else (value,):
            if self.choices and item not in self.choices:
                raise BadFault(f"{fault}: {self.name} has {item!r}; there are: {', '.join(self.choices)}")


@dataclass(frozen=True, slots=True)
class Fault:
    """what:       what happens, as an operator sees it
    heals:      how it ends
    source:     the bug in the wild that it comes from
    fidelities: where it can be injected, of "model" and "machine"; none: only written down so far
    by:         who does it at "machine"
    """

    name: str
    what: str
    heals: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    strikes: Strikes = Strikes.NODE
    fidelities: frozenset[str] = frozenset({"model"})
    by: By = By.NOBODY

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with defaults filled in. Raises BadFault."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise BadFault(f"{self.name} has no parameter {name}; it has {', '.join(known) or 'none'}")
            known[name].check(self.name, value)
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}


STRUCK: Mapping[Strikes, str] = {
    Strikes.NODE: "a node",
    Strikes.HOST: "a compute host",
    Strikes.IMAGE: "an image",
    Strikes.RACK: "the rack",
}
"""As people say it."""

MODEL = frozenset({"model"})
EVERYWHERE = frozenset({"model", "machine"})
MACHINE = frozenset({"machine"})
NOWHERE_YET: frozenset[str] = frozenset()

BY_HEAL = "when it is healed"
NUMBER = (int, float)
LIST = (list, tuple)


def for_s() -> Parameter:
    return Parameter(
        "for_s", None, NUMBER, "how long, from when it was injected; null: until healed", least=0
    )


def count(what: str = "how often") -> Parameter:
    return Parameter("count", None, (int,), f"{what}; null: every time", least=1)
