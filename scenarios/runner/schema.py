"""A scenario: its parts together."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bmsim.faults.catalogue import CATALOGUE
from bmsim.rack.part import Part
from scenarios.runner.parts import (
    AnyRequest,
    DeployPart,
    DiffersPart,
    ExpectPart,
    FaultPart,
    RackPart,
    RebuildPart,
    Seconds,
    Sentence,
)
from scenarios.runner.soundness import problems
from scenarios.runner.stage import Fidelity


class Scenario(Part):
    """why: the promise that it guards. source: the bug in the wild that it comes from. safety_s: how long
    faults may go on before everything heals; left out, as the table of deadlines says. struck_may_fail: a
    deploy to a node that a fault of its own struck may end with its failure told; its deletion then comes
    at once.
    differs: where model and machines may disagree."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{2,60}$")]
    why: Sentence
    source: Sentence
    fidelities: Annotated[tuple[Fidelity, ...], Field(min_length=1)] = (Fidelity.MODEL,)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    rack: RackPart
    requests: Annotated[tuple[AnyRequest, ...], Field(min_length=1)]
    faults: tuple[FaultPart, ...] = ()
    expect: tuple[ExpectPart, ...] = ()
    differs: tuple[DiffersPart, ...] = ()
    safety_s: Seconds | None = None
    struck_may_fail: bool = False

    @model_validator(mode="after")
    def _is_sound(self) -> Scenario:
        found = [
            InitErrorDetails(
                type=PydanticCustomError("scenario", "{told}", {"told": told}), loc=place, input=None
            )
            for place, told in problems(self)
        ]
        if found:
            raise ValidationError.from_exception_data("Scenario", found)
        return self

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.rack.node_list)

    @cached_property
    def deployed(self) -> dict[str, str]:
        """Instance → node, for all that are ever deployed; "" where the scheduler chooses."""
        found: dict[str, str] = {}
        for request in self.requests:
            match request:
                case DeployPart(deploy="all"):
                    found |= {f"i-{name}": name for name in self.node_names}
                case DeployPart(deploy="any"):
                    found[request.as_ or ""] = ""
                case DeployPart():
                    found[request.as_ or f"i-{request.deploy}"] = request.deploy
                case RebuildPart():
                    found[f"{request.rebuild}-2"] = found.get(request.rebuild, "")
        return found

    @property
    def images(self) -> tuple[str, ...]:
        named = (request.image for request in self.requests if isinstance(request, DeployPart | RebuildPart))
        return tuple(dict.fromkeys(image for image in named if image is not None))

    def host_of(self, fault: FaultPart) -> str:
        """The compute host that a fault strikes, or "owner", or "" when it strikes none."""
        if CATALOGUE[fault.do].strikes != "host":
            return ""
        return fault.target or ("ch1" if self.rack.compute_hosts == 1 else "")

    def image_of(self, fault: FaultPart) -> str:
        """The image that a fault strikes, or "" when it strikes none."""
        if CATALOGUE[fault.do].strikes != "image":
            return ""
        return fault.target or (self.images[0] if len(self.images) == 1 else "")

    def node_of(self, fault: FaultPart) -> str:
        """The node that a fault strikes, or whose owner; "" when it is none or not said."""
        strikes = CATALOGUE[fault.do].strikes
        if strikes in ("image", "rack") or (strikes == "host" and fault.target != "owner"):
            return ""
        if fault.target in self.node_names:
            return fault.target
        only = self.node_names[0] if len(self.node_names) == 1 else ""
        return fault.when.node or self.deployed.get(fault.when.instance or "", "") or only
