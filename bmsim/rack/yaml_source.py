"""YAML with line numbers: whatever a model finds wrong is told with the line that it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bmsim.rack.errors import RackError

M = TypeVar("M", bound=BaseModel)
MERGE = "tag:yaml.org,2002:merge"
"""Of the key `<<`."""

_FIELDS = "Input should be fields with values, as {field: value}"
_ITEMS = "Input should be a list, as [one, another]"
IN_YAML = {"model_type": _FIELDS, "dict_type": _FIELDS, "mapping_type": _FIELDS, "tuple_type": _ITEMS}
"""What pydantic would call by the names of Python's types."""


def load(path: Path, model: type[M]) -> M:
    """The file's content as `model`. Raises RackError naming file, line and field."""
    try:
        text = path.read_text()
    except OSError as error:
        raise RackError(f"{path}: {error.strerror}", code=2) from error
    except UnicodeDecodeError as error:
        raise RackError(f"{path}: no text in UTF-8: {error.reason} at byte {error.start}", code=2) from error
    return parse(text, model, str(path))


def parse(text: str, model: type[M], name: str) -> M:
    try:
        tree, data, given_twice = _read(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RackError(f"{name}:{line}: not YAML: {error.problem}{_begun(error)}", code=2) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        told = f"the character U+{error.character:04X} can't be in it"
        raise RackError(f"{name}:{line}: not YAML: {told}", code=2) from error
    except RecursionError:
        raise RackError(f"{name}: it is nested too deeply", code=2) from None
    for line, key, before in given_twice:
        raise RackError(f"{name}:{line}: {key}: it is there already, in line {before}", code=2)
    try:
        return model.model_validate({} if data is None else data)
    except ValidationError as error:
        lines = [
            f"{name}:{_line(tree, problem['loc'])}: {_field(problem['loc'])}: " + _plain(problem)
            for problem in _causes(error.errors())
        ]
        raise RackError("\n".join(lines), code=2) from error


class _Loader(yaml.SafeLoader):
    """Knows where what can't be stands: a date that doesn't exist, and the like."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def value(text: str) -> Any:
    """What a word means as YAML. Raises RackError."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        told = getattr(error, "problem", None) or str(error)
        raise RackError(f"{text[:80]!r} is not YAML: {told}", code=2) from error


def _read(text: str) -> tuple[yaml.Node | None, Any, list[tuple[int, str, int]]]:
    """The nodes, which know their lines, what they say, and keys that are there twice."""
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        given_twice = list(_given_twice(tree))
        return tree, None if tree is None else loader.construct_document(tree), given_twice
    finally:
        loader.dispose()


def _given_twice(tree: yaml.Node | None) -> Iterator[tuple[int, str, int]]:
    """Keys that are in a mapping already, of which YAML would take the last one: line, key, first line. Of
    nodes as they are written: reading them puts beside a key what `<<` brings, for the key to replace."""
    waiting, seen = [tree], set[int]()
    while waiting:
        node = waiting.pop(0)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, inner in node.value:
                waiting.append(inner)
                line, word = key.start_mark.line + 1, str(key.value)
                if word in lines and key.tag != MERGE:
                    yield line, word, lines[word]
                lines[word] = line


def located(path: Path, location: tuple[int | str, ...], problem: str) -> str:
    """A problem that only shows once the file is read, told like those that show while it is."""
    tree = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    return f"{path}:{_line(tree, location)}: {_field(location)}: {problem}"


def _begun(error: yaml.MarkedYAMLError) -> str:
    """In what the problem shows: the mistake may stand where that begins."""
    begun, seen = error.context_mark, error.problem_mark
    if begun is None or seen is None or begun.line == seen.line:
        return ""
    return f" ({error.context}, begun in line {begun.line + 1})"


def _plain(problem: ErrorDetails) -> str:
    if problem["type"] in IN_YAML:
        return IN_YAML[problem["type"]]
    told = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "too_short":
        told = told.replace("Tuple should", "Input should").replace(" after validation", "")
    return told


def _causes(problems: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without those that follow from others: a list none of whose items is right counts as too short."""
    for problem in problems:
        place = problem["loc"]
        inner = (other["loc"][: len(place)] == place != other["loc"] for other in problems)
        if problem["type"] != "too_short" or not any(inner):
            yield problem


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _line(tree: Any, location: tuple[int | str, ...]) -> int:
    """The line of the innermost part of `location` that is there; a missing field has its parent's."""
    node = tree
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        following = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, following = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            following = node.value[part]
            line = following.start_mark.line + 1
        if following is None:
            break
        node = following
    return line
