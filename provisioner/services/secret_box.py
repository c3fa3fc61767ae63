"""Secrets at rest: BMC passwords and tokens are kept encrypted, the key apart from the database."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from provisioner.core.errors import PermanentError


class SecretBox:
    """Seals with the first key, opens with any: to change keys, put a new one first and keep the old.

    Authenticated (Fernet: AES-128-CBC with HMAC-SHA256), so a sealed text that was tampered with
    doesn't open.
    """

    def __init__(self, *keys: str) -> None:
        """Raises PermanentError when a key is not one; the error doesn't repeat it."""
        try:
            self._box = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise PermanentError(
                "use the key of the sealed secrets",
                answer="it is not 32 bytes in URL-safe base64",
                advice="Restore the key file from a backup",
            ) from None

    @classmethod
    def from_file(cls, path: Path) -> SecretBox:
        """The box of a key file: one key a line. Makes the file, with a new key and readable by its owner
        only, when there is none.

        Raises PermanentError when it can't be made or read, holds no key, or others may read it.
        """
        try:
            if not path.exists():
                _create(path)
            mode = stat.S_IMODE(path.stat().st_mode)
            keys = path.read_text("ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            answer = error.strerror if isinstance(error, OSError) else "it isn't text"
            raise PermanentError(
                f"read the key file {path}",
                answer=str(answer),
                advice="Restore it from a backup; its folder must be writable at the first start",
            ) from None
        if mode & 0o077:
            raise PermanentError(
                f"use the key file {path}",
                answer=f"its mode {mode:04o} lets others read it",
                advice=f"chmod 600 {path}, and consider the secrets known if others use this machine",
            )
        if not keys:
            raise PermanentError(
                f"use the key file {path}", answer="it is empty", advice="Restore it from a backup"
            )
        return cls(*keys)

    def seal(self, text: str) -> str:
        """The sealed form; different every time."""
        return self._box.encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        """What was sealed. Raises PermanentError when it was sealed with another key, or damaged."""
        try:
            return self._box.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise PermanentError(
                "open a sealed secret",
                answer="it was sealed with another key, or damaged",
                advice="Put back the key file that belongs to this database, or enter the secret anew",
            ) from None

    def __repr__(self) -> str:
        return "SecretBox(…)"


def _create(path: Path) -> None:
    # Whole or not at all: written beside, then linked. Of two processes that do so, one wins.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
