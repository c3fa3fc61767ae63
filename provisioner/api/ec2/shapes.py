"""EC2's shapes, as botocore's model has them: what members there are, of which types, under which names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

VERSION = "2016-11-15"
NAMESPACE = f"http://ec2.amazonaws.com/doc/{VERSION}/"


@dataclass(frozen=True, slots=True)
class Member:
    """name: in the model. query: in requests. tag: in answers."""

    name: str
    query: str
    tag: str
    shape: str


@dataclass(frozen=True, slots=True)
class Shape:
    """kind: structure, list, string, integer, long, float, double, boolean, timestamp or blob.

    members: of a structure, in the model's order
    item:    of a list, the shape of its items, and in answers their tag
    """

    name: str
    kind: str
    members: tuple[Member, ...] = ()
    required: frozenset[str] = frozenset()
    item: Member | None = None


class Model:
    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._shapes: dict[str, Shape] = {}

    @property
    def operations(self) -> frozenset[str]:
        return frozenset(self._raw["operations"])

    def input(self, operation: str) -> Shape:
        return self._of(operation, "input")

    def output(self, operation: str) -> Shape:
        return self._of(operation, "output")

    def shape(self, name: str) -> Shape:
        found = self._shapes.get(name)
        if found is None:
            found = self._shapes[name] = _shape(name, self._raw["shapes"][name])
        return found

    def _of(self, operation: str, side: str) -> Shape:
        told = self._raw["operations"][operation].get(side)
        return self.shape(told["shape"]) if told else Shape("", "structure")


def _shape(name: str, raw: Mapping[str, Any]) -> Shape:
    kind = raw["type"]
    if kind == "structure":
        members = tuple(_member(member, told) for member, told in raw["members"].items())
        return Shape(name, kind, members, frozenset(raw.get("required", ())))
    if kind == "list":
        told = raw["member"]
        return Shape(name, kind, item=Member("", "", told.get("locationName", "member"), told["shape"]))
    return Shape(name, kind)


def _member(name: str, told: Mapping[str, Any]) -> Member:
    # https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html: a name of its own for requests, or that
    # of answers with a capital, or the member's.
    tag = told.get("locationName", name)
    query = told.get("queryName") or tag[0].upper() + tag[1:]
    return Member(name, query, tag, told["shape"])


@cache
def model() -> Model:
    """Read once: it takes a tenth of a second. Imported here, since nothing but EC2 requests needs it."""
    from botocore.loaders import Loader

    return Model(Loader().load_service_model("ec2", "service-2", VERSION))
