"""YAML with line numbers: whatever a model finds wrong is told with the line that it stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from provisioner.core.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)
MERGE = "tag:yaml.org,2002:merge"
"""Of the key `<<`."""
Location = tuple[int | str, ...]


def load(path: Path, model: type[M]) -> M:
    """The file's content as `model`. Raises InvalidInput naming file, line and field."""
    try:
        text = path.read_text()
    except OSError as error:
        raise InvalidInput(f"read {path}", answer=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"read {path}", answer=f"it is no text: {error}") from error
    return parse(text, model, str(path))


def parse(text: str, model: type[M], name: str) -> M:
    """As `load`, of a text called `name`."""
    try:
        tree, data = _read(text, name)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"read {name}", answer=f"line {line} is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:  # a character that YAML doesn't allow
        raise InvalidInput(f"read {name}", answer=f"not YAML: {error}") from error
    except RecursionError:
        raise InvalidInput(f"read {name}", answer="it is nested too deeply") from None
    try:
        return model.model_validate({} if data is None else data)
    except ValidationError as error:
        # Without the values: one may be a secret.
        problems = error.errors(include_url=False, include_input=False)
        found = [(_place(tree, p["loc"]), message(p)) for p in _causes(problems)]
        told = [f"line {line}, {field}: {message}" for (line, field), message in found]
        raise InvalidInput(f"use {name}", field=found[0][0][1], answer="; ".join(told)) from error


def message(problem: Mapping[str, Any]) -> str:
    """One of pydantic's, without what it puts before ours, and without Python's words for lists."""
    match problem["type"]:
        case "tuple_type" | "list_type":
            return "it is a list: write it in [ ]"
        case "too_short":
            return f"it has {problem['ctx']['min_length']} at least"
        case "union_tag_not_found":
            kind = str(problem["ctx"]["discriminator"]).strip("'")
            return f"it has no {kind}, which says what else there is"
    return str(problem["msg"]).removeprefix("Value error, ")


def misplaced(place: Location, told: str) -> ValidationError:
    """For a validator that looks at the whole: what is wrong at one place in it."""
    kind = PydanticCustomError("value_error", "{told}", {"told": told})
    return ValidationError.from_exception_data("file", [InitErrorDetails(type=kind, loc=place, input=None)])


def _causes(problems: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without those that follow from others: a list none of whose items is right counts as too short."""
    for problem in problems:
        place = problem["loc"]
        inner = (other["loc"][: len(place)] == place != other["loc"] for other in problems)
        if problem["type"] != "too_short" or not any(inner):
            yield problem


class _Loader(yaml.SafeLoader):
    """Knows where what can't be stands: a date that doesn't exist, and the like."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def _read(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The nodes, which know their lines, and what they say."""
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        _check_keys(tree, name)
        return tree, None if tree is None else loader.construct_document(tree)
    finally:
        loader.dispose()


def _check_keys(tree: yaml.Node | None, name: str) -> None:
    """A key that is there twice: YAML would take the last one and say nothing. Of nodes as they are written:
    reading them puts beside a key what `<<` brings, for the key to replace."""
    waiting, seen = [tree], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                waiting.append(value)
                line = key.start_mark.line + 1
                word = str(key.value)
                if word in lines and key.tag != MERGE:
                    answer = f"line {line}: {word} is there already, in line {lines[word]}"
                    raise InvalidInput(f"use {name}", field=word, answer=answer)
                lines[word] = line


def _place(tree: yaml.Node | None, location: Location) -> tuple[int, str]:
    """Line of the innermost part of `location` that is there (a missing field has its parent's), and path."""
    line = 1 if tree is None else tree.start_mark.line + 1
    node, field = tree, ""
    for position, part in enumerate(location):
        following = _child(node, part)
        if following is None and isinstance(part, str) and position < len(location) - 1:
            continue  # the tag of a union, which pydantic puts in the path and the file doesn't have
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else part
        if following is not None:
            line, node = following
    return line, field or "the file"


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    """The line where this part of `node` begins, and the part."""
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # after those that `<<` has brought
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
