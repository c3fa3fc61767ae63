"""Parameters of a command, checked before it is accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.agent.errors import Refusal

DEVICE = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9_/-]{0,62}")


class Params:
    """A JSON object read by name and type; a name that no one reads is an error, a typing slip mostly."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def _take(self, name: str, default: Any) -> Any:
        if name in self._values:
            return self._values.pop(name)
        if default is None:
            raise invalid(name, "is missing")
        return default

    def text(self, name: str, pattern: str, default: str | None = None, *, secret: bool = False) -> str:
        value = self._take(name, default)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            shown = "" if secret else f", not {str(value)[:80]!r}"
            raise invalid(name, f"must be text of the form {pattern}{shown}")
        return value

    def device(self, name: str) -> str:
        value = self._take(name, None)
        if not isinstance(value, str) or not DEVICE.fullmatch(value):
            raise invalid(
                name, f"must be the path of a block device, such as /dev/sda, not {str(value)[:80]!r}"
            )
        return value

    def devices_or_all(self, name: str) -> Sequence[str] | None:
        """A list of devices, or None for "all"."""
        value = self._take(name, None)
        if value == "all":
            return None
        if not isinstance(value, list) or not value or len(value) > 1024:
            raise invalid(name, 'must be "all" or a list of devices')
        return [Params({name: item}).device(name) for item in value]

    def integer(self, name: str, minimum: int, maximum: int, default: int | None = None) -> int:
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise invalid(
                name, f"must be a whole number from {minimum} to {maximum}, not {str(value)[:80]!r}"
            )
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._take(name, None)
        if not isinstance(value, dict):
            raise invalid(name, "must be an object")
        return value

    def finish(self) -> None:
        if self._values:
            raise invalid(sorted(self._values)[0], "is not a parameter of this command")


def invalid(name: str, problem: str) -> Refusal:
    return Refusal(400, "invalid-params", f"parameter {name} {problem}")
