"""Exit codes, and how a failure is told: one clear paragraph, never a traceback."""

from __future__ import annotations

from provisioner.core.errors import InvalidInput, ProvisionerError

OK, FAILED, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE, ENDED_IN_ERROR = range(7)


class CliError(Exception):
    """Ends the command with `code` and this message."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        self.code = code
        super().__init__(message)


def of_error(error: ProvisionerError) -> CliError:
    """One of our own errors, raised on this side."""
    return CliError(error.message, USAGE if isinstance(error, InvalidInput) else FAILED)


def of_status(status: int) -> int:
    """The exit code for an HTTP status of the API."""
    return {404: NOT_FOUND, 409: CONFLICT, 422: USAGE}.get(status, FAILED)
