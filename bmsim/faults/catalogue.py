"""The faults of a BMC, as data. Those of the machine itself are the rack's to bring about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


class BadFault(ValueError):
    """No such fault or parameter, or a value of the wrong kind; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """kinds: the types that a value may have, besides being null where the default is."""

    name: str
    default: Any
    kinds: tuple[type, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Fault:
    """what:   what happens, as an operator sees it
    heals:  how it ends
    source: the bug in the wild that it comes from"""

    name: str
    what: str
    heals: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with defaults filled in. Raises BadFault."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise BadFault(f"{self.name} has no parameter {name}; it has {', '.join(known) or 'none'}")
            parameter = known[name]
            if value is None and parameter.default is None:
                continue
            # A bool is an int to Python, and to nobody else.
            fits = bool in parameter.kinds if isinstance(value, bool) else isinstance(value, parameter.kinds)
            if not fits:
                kinds = " or ".join(kind.__name__ for kind in parameter.kinds)
                raise BadFault(f"{self.name}: {name} is {value!r}; it must be {kinds} ({parameter.meaning})")
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}


BY_HEAL = "when it is healed"
_FOR_S = Parameter("for_s", None, (int, float), "how long, from when it was injected; null: until healed")
_COUNT = Parameter("count", None, (int,), "how often; null: every time")

FAULTS = (
    Fault(
        "bmc.silent",
        "answers nothing at all",
        "after for_s, or when it is healed",
        "iLO and iDRAC are silent for up to 300 s after a firmware update (Ironic fbe0e188b, 81f1ed1cf)",
        (_FOR_S,),
    ),
    Fault(
        "bmc.wrong_credentials",
        "knows another password than the one it was given",
        BY_HEAL,
        "everyday: a password that somebody changed",
    ),
    Fault(
        "bmc.ack_not_done",
        "acknowledges a command and never carries it out",
        "after count times, or when it is healed",
        "virtbmc over SSH in metal3-dev-env; VirtualBMC",
        (
            Parameter("for_commands", ("chassis.power.on",), (list, tuple), "names as in the audit log"),
            _COUNT,
        ),
    ),
    Fault(
        "bmc.swallowed_in_transition",
        "loses a power-on that comes while the machine is going down",
        BY_HEAL,
        "kubevirtbmc #219",
        (Parameter("window_s", 10, (int, float), "how long going down takes"),),
    ),
    Fault(
        "bmc.busy",
        "answers 0xC0, node busy",
        "after count times, or when it is healed",
        "iDRAC10, up to 60 s after a power-off (Ironic 238c9e0cc)",
        (
            Parameter(
                "for_commands",
                None,
                (list, tuple),
                "names as in the audit log; null: all that change something",
            ),
            _COUNT,
            Parameter(
                "after_power_off_s", None, (int, float), "only for so long after a power-off; null: always"
            ),
        ),
    ),
    Fault(
        "bmc.boot_device_refused_during_post",
        "refuses to set the boot device until POST ends: 0xD5, not supported in present state",
        BY_HEAL,
        "iLO (LP 2136275)",
        (Parameter("post_s", 60, (int, float), "how long POST takes, from the start of the machine"),),
    ),
    Fault(
        "bmc.boot_device_forgotten",
        "takes the boot device, tells it when asked, and boots from another",
        "after count boots, or when it is healed",
        "VirtualBMC drops the flags that say once or always",
        (_COUNT,),
    ),
    Fault(
        "bmc.lies_about_power",
        "tells a power state that isn't so",
        "after for_s, or when it is healed",
        "lag of power supplies and sensors (sonic-mgmt #12157)",
        (
            Parameter("says_on", None, (bool,), "what it says; null: the opposite of what is"),
            _FOR_S,
        ),
    ),
    Fault(
        "bmc.cold_reset",
        "restarts: its sessions are gone, and it is silent until it has started again",
        "by itself after silent_s",
        "everyday: firmware updates, watchdogs, operators",
        (Parameter("silent_s", 20, (int, float), "how long it takes to start"),),
    ),
    Fault(
        "bmc.sessions_exhausted",
        "has no free session slot",
        BY_HEAL,
        "everyday: tools that don't close their sessions",
    ),
)

CATALOGUE: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in FAULTS})


def completed(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A fault's parameters with defaults filled in. Raises BadFault."""
    if name not in CATALOGUE:
        raise BadFault(f"there is no fault {name}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name].completed(given)
