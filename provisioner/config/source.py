"""YAML with line numbers: whatever a model finds wrong is told with the line that it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from provisioner.core.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)


def load(path: Path, model: type[M]) -> M:
    """The file's content as `model`. Raises InvalidInput naming file, line and field."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"read {path}", answer=str(error)) from error
    return parse(text, model, str(path))


def parse(text: str, model: type[M], name: str) -> M:
    """As `load`, of a text called `name`."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"read {name}", answer=f"line {line} is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"read {name}", answer=f"not YAML: {error}") from error
    try:
        return model.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        told = [f"line {_line(tree, p['loc'])}, {_field(p['loc'])}: {p['msg']}" for p in problems]
        raise InvalidInput(f"use {name}", field=_field(problems[0]["loc"]), answer="; ".join(told)) from error


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _line(tree: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """The line of the innermost part of `location` that is there; a missing field has its parent's."""
    line = 1 if tree is None else tree.start_mark.line + 1
    node = tree
    for part in location:
        following: yaml.Node | None = None
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
