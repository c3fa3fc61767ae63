"""The faults that a modelled machine has at the moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Parameters = Mapping[str, Any]


class NodeFaults:
    """struck: told of each time that one of them changed something."""

    def __init__(self, struck: Callable[[str], None]) -> None:
        self._given: dict[str, Parameters] = {}
        self.struck = struck

    @property
    def given(self) -> Mapping[str, Parameters]:
        return self._given

    def __contains__(self, fault: str) -> bool:
        return fault in self._given

    def find(self, fault: str) -> Parameters | None:
        return self._given.get(fault)

    def give(self, fault: str, parameters: Parameters) -> None:
        self._given[fault] = parameters

    def take(self, fault: str) -> bool:
        """Whether it was there."""
        return self._given.pop(fault, None) is not None

    def loses(self, fault: str) -> bool:
        """Whether a message is lost by it, which may be so for the next `count` of them alone."""
        parameters = self._given.get(fault)
        if parameters is None:
            return False
        count = parameters.get("count")
        if count is not None:
            if count <= 0:
                return False
            self._given[fault] = {**parameters, "count": count - 1}
        self.struck(fault)
        return True
