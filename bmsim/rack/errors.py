"""What can be wrong with a rack; the message is for the person who asked."""

from __future__ import annotations

GONE = 3
"""The code of what isn't there, or is there no more."""


class RackError(Exception):
    """Something the user can mend: a wrong file, a missing package, a rack that isn't up.

    `code` is the exit code of the command: 1 failed, 2 wrong use or file, 3 no such thing, 4 in the way.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        self.code = code
        super().__init__(message)
