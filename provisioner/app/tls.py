"""TLS for the API: its certificate, and a new one as soon as it is there."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

from provisioner.core.errors import PermanentError
from provisioner.protocols.clock import Clock

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How often the files are looked at; certbot and its like write new ones every few weeks."""

WARN_DAYS = 21
"""From so many days before a certificate's end on it is warned of, once a day."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ServerTls:
    """`context` is given to the server; connections that are begun after a reload get the new certificate."""

    def __init__(
        self, certificate: Path, key: Path | None, wall_clock: Callable[[], datetime] = _utc_now
    ) -> None:
        """key: None when it is in the file of the certificate. Raises PermanentError."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certificate = certificate
        self._key = key or certificate
        self._wall_clock = wall_clock
        self._warned_of: int | None = None  # days that were left
        self._seen = self._stamp()
        self._load()

    async def follow(self, clock: Clock) -> None:
        """Until cancelled. Files that can't be used change nothing: the old certificate stays."""
        while True:
            await clock.sleep(LOOK_S)
            self._warn()
            stamp = self._stamp()
            if stamp == self._seen:
                continue
            self._seen = stamp
            try:
                self._load()
            except PermanentError as error:
                log.error("tls.not_reloaded", cause=error.message)
            else:
                log.info("tls.reloaded", certificate=str(self._certificate))

    def _load(self) -> None:
        try:
            # Tried apart first: half of a pair that doesn't match would stay in the context.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(self._certificate, self._key, _no_password)
            self._until = x509.load_pem_x509_certificate(self._certificate.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PermanentError(
                f"use the certificate {self._certificate} with the key {self._key}",
                answer=told,
                advice="`provisioner tls init` makes both; or set api.tls to files of your own, in PEM, "
                "the key without a password",
            ) from None
        self._warned_of = None
        self._warn()

    def _warn(self) -> None:
        days_left = (self._until - self._wall_clock()).days
        if days_left < WARN_DAYS and days_left != self._warned_of:
            self._warned_of = days_left
            log.warning("tls.expires", certificate=str(self._certificate), days_left=days_left)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_stamp(path) for path in (self._certificate, self._key))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_ino, found.st_size


def _no_password() -> str:
    """A key with a password would have OpenSSL ask for it on the terminal."""
    return ""
