"""Secrets at rest: BMC passwords and tokens are kept encrypted, the keys apart from the database."""

from __future__ import annotations

import hashlib
from pathlib import Path

import structlog
from cryptography.fernet import Fernet, InvalidToken

from provisioner.core.errors import HostLacks, PermanentError
from provisioner.services.key_file import NO_FILE, KeyFile, Stamp

log = structlog.get_logger(__name__)


class SecretBox:
    """Seals with the first key, opens with any: to change keys, put a new one first and keep the old.

    Authenticated (Fernet: AES-128-CBC with HMAC-SHA256), so a sealed text that was tampered with
    doesn't open.
    """

    def __init__(self, *keys: str) -> None:
        """Raises PermanentError when a key is not one; the error doesn't repeat it."""
        self._file: KeyFile | None = None
        self._stamp = NO_FILE
        self._told: Stamp | None = None
        self._use(keys)

    @classmethod
    def from_file(cls, path: Path, *, make: bool = True) -> SecretBox:
        """The box of a key file, whose changes it follows. make: when there is none. Raises as `KeyFile.make`
        and `KeyFile.read`."""
        file = KeyFile(path)
        if make:
            file.make()
        stamp = file.stamp()
        box = cls(*file.read())
        box._file, box._stamp = file, stamp
        return box

    def seal(self, text: str) -> str:
        """The sealed form; different every time."""
        self._follow()
        return self._ciphers[0].encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        """What was sealed. Raises HostLacks when it was sealed with another key, or damaged."""
        self._follow()
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed.encode()).decode()
            except InvalidToken:
                continue
        raise HostLacks(
            "open a sealed secret",
            answer="it was sealed with another key, or damaged",
            advice="Put back the key file that belongs to this database, or enter the secret anew",
        )

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The first one's seals."""
        self._follow()
        return self._key_ids

    def sealed_by(self, sealed: str) -> str | None:
        """The id of the key that it was sealed with; None: by none of ours."""
        for id, cipher in zip(self.key_ids, self._ciphers, strict=True):
            try:
                cipher.decrypt(sealed.encode())
            except InvalidToken:
                continue
            return id
        return None

    def _follow(self) -> None:
        """A rotation puts another key first: what is sealed from then on must be by that one.

        A file that can't be used is being copied, or is missing by mistake: the keys that it had stay.
        """
        if self._file is None:
            return
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return
        try:
            self._use(self._file.read())
        except PermanentError as error:
            # Read again at each use until it is better, which a change of its mode alone may make it.
            if stamp != self._told:
                log.warning("secrets.key_file_unusable", cause=error.message, kept=self._key_ids)
            self._told = stamp
        else:
            self._stamp, self._told = stamp, None

    def _use(self, keys: tuple[str, ...]) -> None:
        try:
            ciphers = tuple(Fernet(key) for key in keys)
        except ValueError:
            raise PermanentError(
                "use the key of the sealed secrets",
                answer="it is not 32 bytes in URL-safe base64",
                advice="Restore the key file from a backup",
            ) from None
        self._ciphers = ciphers
        self._key_ids = tuple(key_id(key) for key in keys)

    def __repr__(self) -> str:
        return "SecretBox(…)"


def key_id(key: str) -> str:
    """What a key is called by, which tells nothing of it: it has 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
