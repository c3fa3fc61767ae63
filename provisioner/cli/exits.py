"""Exit codes, and how a failure is told: one clear paragraph, never a traceback."""

from __future__ import annotations

from provisioner.core.errors import InvalidInput, ProvisionerError

OK, FAILED, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE, ENDED_IN_ERROR = range(7)
INTERRUPTED = 130
"""By Ctrl-C, as shells have it: 128 + SIGINT."""


class CliError(Exception):
    """Ends the command with `code` and this message."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        self.code = code
        super().__init__(message)


def of_error(error: ProvisionerError) -> CliError:
    """One of our own errors, raised on this side."""
    return CliError(error.message, USAGE if isinstance(error, InvalidInput) else FAILED)


def of_problem(status: int, code: str) -> int:
    """The exit code for a problem of the API. A 422 may be the image's fault, not the command's."""
    if code == InvalidInput.code:
        return USAGE
    return {404: NOT_FOUND, 409: CONFLICT}.get(status, FAILED)
