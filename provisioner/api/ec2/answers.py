"""Answers: from the members of a shape to XML."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.shapes import NAMESPACE, Member, Model, Shape

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 §2.2 can't hold, not even escaped."""

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# A parser turns a bare carriage return into a line feed (XML 1.0 §2.11).
_ENTITIES = {"\r": "&#13;"}


def text(value: str) -> str:
    """As the content of an element. What XML can't hold becomes U+FFFD."""
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


class Writer:
    """Writes members by the names and types of the model. A member that the model doesn't have is a KeyError,
    and one of another type a TypeError: defects of ours, that tests find."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[str, Mapping[str, Member]] = {}

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
        known = self._known.get(shape.name)
        if known is None:
            known = self._known[shape.name] = {member.name: member for member in shape.members}
        for name, value in members.items():
            member = known[name]
            if value is not None:
                self._element(member.tag, self._model.shape(member.shape), value, parts)

    def _element(self, tag: str, shape: Shape, value: Any, parts: list[str]) -> None:
        scalar = _SCALARS.get(shape.kind)
        if scalar is not None:
            parts.append(f"<{tag}>{scalar(value)}</{tag}>")
            return
        parts.append(f"<{tag}>")
        if shape.kind == "structure":
            self._structure(shape, value, parts)
        else:
            assert shape.item is not None
            if isinstance(value, str):
                raise TypeError(f"{tag} is a list, not text")
            item = self._model.shape(shape.item.shape)
            for one in value:
                self._element(shape.item.tag, item, one, parts)
        parts.append(f"</{tag}>")


def refusal(error: Ec2Error, request_id: str) -> str:
    return (
        f"{DECLARATION}<Response><Errors><Error><Code>{text(error.code)}</Code>"
        f"<Message>{text(error.message)}</Message></Error></Errors>"
        f"<RequestID>{text(request_id)}</RequestID></Response>"
    )
