"""Texts and numbers from outside, bounded to what every database of ours can hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Word = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]
"""PostgreSQL holds no NUL; and a length has it checked that all of it is Unicode, which half of a surrogate
pair, that JSON can hold, is not."""

Line = Annotated[str, Field(max_length=2048, pattern=r"^[^\x00]*$")]

MOST = 2**31
"""Of anything that is counted: CPUs, MiB."""
