"""All families, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from provisioner.core import pdus
from provisioner.core.errors import InvalidInput
from provisioner.core.pdus.family import Family, Oid

AUTO = "auto"
"""In place of a family: ask the PDU which one it is of."""


def _family(module: str) -> Family:
    """Raises InvalidInput: a site's own module is read when the process starts, whoever uses it."""
    try:
        family = import_module(f"{pdus.__name__}.{module}").FAMILY
        if not isinstance(family, Family):
            raise TypeError("its FAMILY is no Family(...)")
        if family.name != module:
            raise ValueError(f"its family is called {family.name}: call it as the file")
    except Exception as error:
        raise InvalidInput(
            f"read {module}.py, a family of PDUs",
            answer=str(error),
            advice="Correct it as docs/pdus.md says, or take it out of provisioner/core/pdus/",
        ) from error
    return family


def read_families() -> Iterator[Family]:
    """Of each module beside this one."""
    known: dict[str, str] = {}
    for module in iter_modules(pdus.__path__):
        if module.name not in ("families", "family"):
            family = _family(module.name)
            for beginning in family.known_by:
                if known.setdefault(beginning, family.name) != family.name:
                    raise InvalidInput(
                        f"read {module.name}.py, a family of PDUs",
                        answer=f"known_by: {beginning} is {known[beginning]}'s already",
                        advice="Leave it out of one of the two",
                    )
            yield family


FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in read_families()})

FIRST_UNITS = frozenset(family.unit for family in FAMILIES.values())
"""Of a PDU of any family; a PDU that has no units may be called the first."""


def family_of(system: Oid) -> Family | None:
    """The family of the PDU with this sysObjectID: the one that is known by most of it."""
    best = max(FAMILIES.values(), key=lambda family: family.matches(system))
    return best if best.matches(system) else None
