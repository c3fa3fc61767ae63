"""What the files that people write are read as, part by part.

provisioner has one alike: the two programs meet only on the wire, and share no code.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError


class Part(BaseModel):
    """A field that it doesn't know is refused, and those that it knows are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _tell_what_there_is(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
            if not any(map(_is_unknown_here, problems)):
                raise
            known = [field.alias or name for name, field in cls.model_fields.items()]
            told = [_told(problem, known) for problem in problems]
            raise ValidationError.from_exception_data(cls.__name__, told) from None


def _is_unknown_here(problem: ErrorDetails) -> bool:
    """Not in a part of this one, which tells its own."""
    return problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1


def _told(problem: ErrorDetails, known: list[str]) -> InitErrorDetails:
    text = problem["msg"]
    if _is_unknown_here(problem):
        meant = get_close_matches(str(problem["loc"][0]), known, n=1)
        text = f"there is no such field (is it {meant[0]}?)" if meant else "there is no such field"
        text = f"{text}; there are: {', '.join(known)}"
    # A type that pydantic takes for ours: of its own it would make the text anew.
    kind = PydanticCustomError(problem["type"], "{told}", {"told": text})
    return InitErrorDetails(type=kind, loc=problem["loc"], input=None)
