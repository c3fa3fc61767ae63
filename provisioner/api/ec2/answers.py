"""Answers: from the members of a shape to XML."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.shapes import NAMESPACE, Member, Model, Shape

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 §2.2 can't hold, not even escaped."""

_MARKUP = re.compile("[&<>]")

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# A parser turns a bare carriage return into a line feed (XML 1.0 §2.11).
_ENTITIES = {"\r": "&#13;"}


def text(value: str) -> str:
    """As the content of an element. What XML can't hold becomes U+FFFD."""
    if value.isascii() and value.isprintable() and not _MARKUP.search(value):
        return value  # most are
    return escape(_FORBIDDEN.sub("\ufffd", value), _ENTITIES)


def time_text(at: datetime) -> str:
    """As EC2 tells times: UTC, to the millisecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


_SCALARS: Mapping[str, Callable[[Any], str]] = {
    "string": text,
    "boolean": lambda value: "true" if value else "false",
    "integer": lambda value: str(int(value)),
    "long": lambda value: str(int(value)),
    "float": repr,
    "double": repr,
    "timestamp": time_text,
    "blob": lambda value: b64encode(value).decode("ascii"),
}


class _Field(NamedTuple):
    """How one member, or the items of a list, are written. scalar: None when they hold others."""

    begin: str
    end: str
    scalar: Callable[[Any], str] | None
    shape: Shape


class Writer:
    """Writes members by the names and types of the model. A member that the model doesn't have is a KeyError,
    and one of another type a TypeError: defects of ours, that tests find."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._fields: dict[str, Mapping[str, _Field]] = {}

    def answer(self, operation: str, members: Mapping[str, Any], request_id: str) -> str:
        shape = self._model.output(operation)
        parts = [DECLARATION, f'<{operation}Response xmlns="{NAMESPACE}">']
        parts.append(f"<requestId>{text(request_id)}</requestId>")
        if shape.name:
            self._structure(shape, members, parts)
        elif members:
            raise KeyError(f"{operation} answers nothing, not {sorted(members)}")
        parts.append(f"</{operation}Response>")
        return "".join(parts)

    def _structure(self, shape: Shape, members: Mapping[str, Any], parts: list[str]) -> None:
        fields = self._fields.get(shape.name) or self._learn(shape)
        for name, value in members.items():
            field = fields[name]
            if value is not None:
                self._element(field, value, parts)

    def _element(self, field: _Field, value: Any, parts: list[str]) -> None:
        if field.scalar is not None:
            parts.append(field.begin + field.scalar(value) + field.end)
            return
        parts.append(field.begin)
        if field.shape.kind == "structure":
            self._structure(field.shape, value, parts)
        else:
            if isinstance(value, str):
                raise TypeError(f"{field.begin} is a list, not text")
            item = (self._fields.get(field.shape.name) or self._learn(field.shape))[""]
            for one in value:
                self._element(item, one, parts)
        parts.append(field.end)

    def _learn(self, shape: Shape) -> Mapping[str, _Field]:
        """The fields of a structure by their names; of a list, its items'."""
        members = shape.members or tuple(filter(None, (shape.item,)))
        found = {member.name: self._field(member) for member in members}
        self._fields[shape.name] = found
        return found

    def _field(self, member: Member) -> _Field:
        shape = self._model.shape(member.shape)
        return _Field(f"<{member.tag}>", f"</{member.tag}>", _SCALARS.get(shape.kind), shape)


def refusal(error: Ec2Error, request_id: str) -> str:
    return (
        f"{DECLARATION}<Response><Errors><Error><Code>{text(error.code)}</Code>"
        f"<Message>{text(error.message)}</Message></Error></Errors>"
        f"<RequestID>{text(request_id)}</RequestID></Response>"
    )
