"""What can go wrong, by who is told of it."""

from __future__ import annotations

from typing import Any


class CommandError(Exception):
    """A command failed. `code` is for programs, `message` for the operator."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Cancelled(CommandError):
    """The command was given up: by a DELETE, or because a compute host with a newer fence took over."""


class Refusal(Exception):
    """A request that is answered with an error status and changes nothing."""

    def __init__(self, status: int, code: str, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields
