"""What a scenario file is made of, part by part. What the parts must be to each other is in schema.py."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from bmsim.rack.names import Name
from bmsim.rack.part import Part
from provisioner.config.proof_of_life import ProofOfLife
from scenarios.runner.stage import Fidelity

Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


def _word(value: object) -> object:
    """YAML 1.1 reads on and off as truth values."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


OnOff = Annotated[Literal["on", "off"], BeforeValidator(_word)]
PowerVerb = Annotated[Literal["on", "off", "cycle", "reset", "soft"], BeforeValidator(_word)]


# --- rack -----------------------------------------------------------------------------------------


class NodeKind(Part):
    """What a node is, whatever its name."""

    arch: Literal["x86_64", "arm64", "armhf", "tilepro64"] = "x86_64"
    firmware: Literal["bios", "uefi", "uboot", "tilera"] = "bios"
    power: Literal["ipmi", "pdu", "two-pdus"] = "ipmi"
    boot: Literal["ipxe", "uboot", "tilera", "grub"] = "ipxe"
    deploy: Literal["iscsi", "nfs"] = "iscsi"
    cpus: Annotated[int, Field(ge=1, le=64)] = 1
    memory_mib: Annotated[int, Field(ge=256, le=2**20)] = 1024
    disk_mib: Annotated[int, Field(ge=1, le=2**24)] = 2048

    @model_validator(mode="after")
    def _boots_as_it_can(self) -> NodeKind:
        if len({self.firmware == "tilera", self.boot == "tilera", self.arch == "tilepro64"}) > 1:
            raise ValueError("tilepro64 is a board of its own: write firmware: tilera, boot: tilera with it")
        if self.boot == "tilera" and self.power == "ipmi":
            raise ValueError("a board of tilepro64 has no BMC: write power: pdu, or two-pdus")
        if self.arch == "arm64" and self.firmware == "uefi":
            if self.boot != "grub":
                raise ValueError("a server of arm64 loads GRUB: write boot: grub with firmware: uefi")
            return self
        if self.boot == "grub":
            raise ValueError("GRUB is for servers of arm64: write arch: arm64, firmware: uefi with it")
        if len({self.firmware == "uboot", self.boot == "uboot", self.arch in ("arm64", "armhf")}) > 1:
            raise ValueError(
                "arm64 and armhf are boards here: write firmware: uboot, boot: uboot with them; a server of "
                "arm64 has firmware: uefi, boot: grub"
            )
        return self


class OneNode(NodeKind):
    name: Name


class ManyNodes(NodeKind):
    """Nodes that are alike, called n1, n2, …"""

    count: Annotated[int, Field(ge=1, le=20_000)]


def _nodes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ManyNodes.model_validate(value)
    return TypeAdapter(Annotated[tuple[OneNode, ...], Field(min_length=1)]).validate_python(value)


class RackPart(Part):
    """Compute hosts are called ch1, ch2, …"""

    compute_hosts: Annotated[int, Field(ge=1, le=16)] = 1
    nodes: Annotated[tuple[OneNode, ...] | ManyNodes, PlainValidator(_nodes)]

    @cached_property
    def node_list(self) -> tuple[OneNode, ...]:
        if isinstance(self.nodes, tuple):
            return self.nodes
        kind = self.nodes.model_dump(exclude={"count"})
        return tuple(OneNode(name=f"n{number}", **kind) for number in range(1, self.nodes.count + 1))

    @property
    def host_names(self) -> tuple[str, ...]:
        return tuple(f"ch{number}" for number in range(1, self.compute_hosts + 1))


# --- moments --------------------------------------------------------------------------------------

KINDS: Mapping[str, tuple[str, ...]] = {
    "at_s": (),
    "step": ("node", "done", "nth", "after_s"),
    "command": ("node", "detail", "nth", "after_s"),
    "event": ("node", "detail", "nth", "after_s"),
    "state": ("instance", "nth", "after_s"),
    "probability": ("per", "node"),
}
"""What tells one kind of moment from another, and what may stand beside it."""


class When(Part):
    """A moment. done: the step's end instead of its beginning. nth: which time, counted from 1. after_s: so
    long after all that."""

    at_s: Seconds | None = None
    step: str | None = None
    command: str | None = None
    event: str | None = None
    state: Literal["active", "error", "deleted"] | None = None
    probability: Annotated[float, Field(gt=0, le=1)] | None = None
    node: Name | None = None
    instance: Name | None = None
    per: str | None = None
    done: bool = False
    detail: Mapping[str, Any] = Field(default_factory=dict)
    nth: Annotated[int, Field(ge=1)] = 1
    after_s: Seconds = 0.0

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @model_validator(mode="after")
    def _is_one(self) -> When:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"a moment is one of {', '.join(KINDS)}; this has {' and '.join(kinds) or 'none'}"
            )
        beside = self.model_fields_set - {kinds[0], *KINDS[kinds[0]]}
        if beside:
            allowed = ", ".join(KINDS[kinds[0]]) or "nothing"
            raise ValueError(f"{', '.join(sorted(beside))} can't stand beside {kinds[0]}; {allowed} can")
        if self.probability is not None and self.per is None:
            raise ValueError("probability needs per: step, command, or an event such as dhcp.discover")
        return self


# --- requests -------------------------------------------------------------------------------------


class DeployPart(Part):
    """deploy: a node; or any: the scheduler chooses; or all: each node, evenly over spread_s."""

    deploy: Name
    image: str
    as_: Annotated[Name | None, Field(alias="as")] = None
    wipe: Literal["quick", "full"] = "quick"
    swap_mib: Annotated[int, Field(ge=0, le=2**20)] = 0
    ephemeral_mib: Annotated[int, Field(ge=0, le=2**20)] = 0
    proof_of_life: tuple[ProofOfLife, ...] = ()
    spread_s: Seconds = 0.0
    when: When = When(at_s=0)


class DeletePart(Part):
    """delete: an instance; or all of them. Without when: as soon as it is active."""

    delete: Name
    when: When = When(state="active")


class RebuildPart(Part):
    """rebuild: an instance. It is deleted, and deployed anew to the same node as NAME-2."""

    rebuild: Name
    image: str | None = None
    when: When = When(state="active")


class PowerPart(Part):
    power: Name
    turn: PowerVerb
    when: When = When(at_s=0)


class MaintenancePart(Part):
    maintenance: Name
    turn: OnOff
    when: When = When(at_s=0)


RequestPart = DeployPart | DeletePart | RebuildPart | PowerPart | MaintenancePart

VERBS: Mapping[str, type[Part]] = {
    "deploy": DeployPart,
    "delete": DeletePart,
    "rebuild": RebuildPart,
    "power": PowerPart,
    "maintenance": MaintenancePart,
}


def _request(value: Any) -> Any:
    verbs = [verb for verb in VERBS if isinstance(value, Mapping) and verb in value]
    if len(verbs) != 1:
        raise ValueError(f"a request has one of {', '.join(VERBS)}; this has {' and '.join(verbs) or 'none'}")
    return VERBS[verbs[0]].model_validate(value)


AnyRequest = Annotated[RequestPart, PlainValidator(_request)]


# --- faults, expectations -------------------------------------------------------------------------


class FaultPart(Part):
    """do: a name of the catalogue. target: a node, an image, a compute host, or owner: the host that owns the
    node of `when`; left out, that node itself or the only host or image. share: of the nodes, chosen by the
    seed, each for itself. may_miss: it needn't strike for the story to count."""

    do: str
    target: Name | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    with_: Annotated[Mapping[str, Any], Field(alias="with")] = Field(default_factory=dict)
    when: When = When(at_s=0)
    heal_after_s: Seconds | None = None
    heal: When | None = None
    may_miss: bool = False

    @model_validator(mode="after")
    def _heals_once(self) -> FaultPart:
        if self.heal is not None and self.heal_after_s is not None:
            raise ValueError("heal and heal_after_s are both given: leave one out")
        return self


class ExpectPart(Part):
    """About an instance, a node, or a count of events; state and within are explained in the reference."""

    instance: Name | None = None
    node: Name | None = None
    state: str | None = None
    failure: str = ""
    cause: str = ""
    last_proven: str = ""
    within: Literal["deploy_deadline", "clean_deadline"] | None = None
    event: str | None = None
    detail: Mapping[str, Any] = Field(default_factory=dict)
    at_least: Annotated[int, Field(ge=0)] | None = None
    at_most: Annotated[int, Field(ge=0)] | None = None


# --- agreement ------------------------------------------------------------------------------------


class DiffersPart(Part):
    """Something that one fidelity alone tells of a node, and why that is right. what: as a failed agreement
    names it: "http boot.ipxe", "pdu outlet.off a1/3", "step agent_ready"."""

    only: Fidelity
    what: Annotated[str, Field(pattern=r"^(bmc|pdu|dhcp|tftp|http|step) .+$")]
    node: Name | None = None
    why: Sentence

    @property
    def line(self) -> str:
        return f"{'+' if self.only is Fidelity.MACHINE else '-'}{self.what}"
