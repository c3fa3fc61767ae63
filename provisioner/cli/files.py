"""Files that an option names: what can't be read is the user's to mend, and told so."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from provisioner.cli.exits import USAGE, CliError


@contextmanager
def reading(file: Path, option: str) -> Iterator[BufferedReader]:
    """The bytes of a regular file, whose size is known. Raises CliError, when a read fails later too."""
    try:
        # Before it is opened: a pipe that nobody writes to would hold us there.
        if not stat.S_ISREG(file.stat().st_mode):
            kind = "a folder" if file.is_dir() else "a device or a pipe"
            raise CliError(f"{file} is {kind}: name a regular file by {option}.", USAGE)
        with file.open("rb") as opened:
            yield opened
    except OSError as error:
        raise _unreadable(file, option, error) from error


def text_of(file: Path, option: str) -> str:
    """All of it; a pipe will do. Raises CliError."""
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise _unreadable(file, option, error) from error
    except UnicodeDecodeError as error:
        told = f"{file} is no text in UTF-8: {error.reason} at byte {error.start}. Name a text by {option}."
        raise CliError(told, USAGE) from error


def _unreadable(file: Path, option: str, error: OSError) -> CliError:
    told = (
        f"{file} can't be read: {error.strerror}. Name by {option} one that is there and that you may read."
    )
    return CliError(told, USAGE)
