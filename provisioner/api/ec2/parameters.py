"""Requests: from form-encoded parameters to the members of a shape, types checked.

`Filter.1.Name=…&Filter.1.Value.1=…` becomes {"Filters": [{"Name": …, "Values": […]}]}.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from provisioner.api.ec2.errors import Ec2Error, bad_value, missing
from provisioner.api.ec2.shapes import Model, Shape

MAX_PARAMETERS = 10_000
MAX_DEPTH = 12
"""Parts of a name; the deepest that EC2 knows has nine."""

_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")
_INDEX = re.compile(r"[1-9][0-9]{0,4}\Z")
_BITS = {"integer": 31, "long": 63}
_TEXT = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*\Z", re.DOTALL)
"""What XML 1.0 §2.2 can hold: nothing else could be told again."""

Tree = dict[str, "Tree | str"]


def decode(body: bytes) -> dict[str, str]:
    """The parameters of a body. Raises Ec2Error for what isn't form-encoded text, or says something twice."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except (UnicodeDecodeError, ValueError):
        raise Ec2Error("MalformedQueryString", "The body is not form-encoded UTF-8 text") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Ec2Error("InvalidParameterCombination", "A parameter was given more than once")
    for name, value in pairs:
        if not _TEXT.match(name) or not _TEXT.match(value):
            raise Ec2Error("MalformedQueryString", "A parameter has characters that XML can't hold")
    return found


def members(model: Model, shape: Shape, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The members that are given, by the model's names. Raises Ec2Error: UnknownParameter,
    InvalidParameterValue, MissingParameter."""
    return _structure(model, shape, _tree(parameters), "")


def _tree(parameters: Mapping[str, str]) -> Tree:
    root: Tree = {}
    for name, value in parameters.items():
        *way, last = parts = name.split(".")
        if len(parts) > MAX_DEPTH:
            raise _unknown(name)
        here = root
        for part in way:
            below = here.setdefault(part, {})
            if isinstance(below, str):
                raise _unknown(name)
            here = below
        if here.setdefault(last, value) is not value:
            raise _unknown(name)
    return root


def _unknown(name: str) -> Ec2Error:
    return Ec2Error("UnknownParameter", f"The parameter {name[:100]} is not recognized")


def _structure(model: Model, shape: Shape, tree: Tree, path: str) -> dict[str, Any]:
    known = {member.query: member for member in shape.members}
    found: dict[str, Any] = {}
    for name, given in tree.items():
        member = known.get(name)
        if member is None:
            raise _unknown(path + name)
        found[member.name] = _value(model, model.shape(member.shape), given, path + name)
    for member in shape.members:
        if member.name in shape.required and member.name not in found:
            raise missing(path + member.query)
    return found


def _value(model: Model, shape: Shape, given: Tree | str, path: str) -> Any:
    if shape.kind == "structure":
        if isinstance(given, str):
            raise _unknown(path)
        return _structure(model, shape, given, f"{path}.")
    if shape.kind == "list":
        assert shape.item is not None
        if isinstance(given, str):
            # An empty list is said so.
            if given == "":
                return []
            raise _unknown(path)
        item = model.shape(shape.item.shape)
        return [_value(model, item, given[index], f"{path}.{index}") for index in _indexes(given, path)]
    if not isinstance(given, str):
        raise _unknown(f"{path}.{next(iter(given))}")
    return _scalar(shape, given, path)


def _indexes(given: Tree, path: str) -> list[str]:
    for index in given:
        if not _INDEX.match(index):
            raise _unknown(f"{path}.{index}")
    return sorted(given, key=int)


def _scalar(shape: Shape, given: str, path: str) -> Any:
    match shape.kind:
        case "string":
            return given
        case "boolean":
            if given not in ("true", "false"):
                raise bad_value(path, "it must be true or false")
            return given == "true"
        case "integer" | "long":
            limit = 1 << _BITS[shape.kind]
            if not _INTEGER.match(given) or not -limit <= int(given) < limit:
                raise bad_value(path, "it must be a whole number")
            return int(given)
        case "float" | "double":
            return _checked(float, given, path, "it must be a number")
        case "timestamp":
            return _checked(datetime.fromisoformat, given, path, "it must be a time as in ISO 8601")
        case "blob":
            return _checked(_base64, given, path, "it must be base64")
    raise AssertionError(shape.kind)


def _checked(read: Any, given: str, path: str, must: str) -> Any:
    try:
        return read(given)
    except ValueError:
        raise bad_value(path, must) from None


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        raise ValueError from None
