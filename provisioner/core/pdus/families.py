"""All families, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from provisioner.core import pdus
from provisioner.core.pdus.family import Family, Oid

AUTO = "auto"
"""In place of a family: ask the PDU which one it is of."""


def _families() -> Iterator[Family]:
    """Of each module beside this one that has one."""
    for module in iter_modules(pdus.__path__):
        if module.name not in ("families", "family"):
            family: Family = import_module(f"{pdus.__name__}.{module.name}").FAMILY
            if family.name != module.name:
                raise ValueError(
                    f"the family of PDUs in {module.name}.py is called {family.name}: call it so"
                )
            yield family


FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _families()})

FIRST_UNITS = frozenset(family.unit for family in FAMILIES.values())
"""Of a PDU of any family; a PDU that has no units may be called the first."""


def family_of(system: Oid) -> Family | None:
    """The family of the PDU with this sysObjectID: the one that is known by most of it."""
    best = max(FAMILIES.values(), key=lambda family: family.matches(system))
    return best if best.matches(system) else None
