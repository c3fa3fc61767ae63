"""Fetching a file by TFTP as a board's firmware does; of what comes, the first bytes are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from tftpy import TftpClient
from tftpy.TftpShared import TftpException, TftpFileNotFoundError, TftpTimeout

PORT = 69
BLOCK_BYTES = 1408
TIMEOUT_S, RETRIES = 2, 2

# tftpy logs each packet.
logging.getLogger("tftpy").setLevel(logging.CRITICAL)


class TftpRefused(Exception):
    """The server's own words."""


@dataclass(slots=True)
class Received:
    """A file as it is written: how long it is by now, and how it begins."""

    head_bytes: int
    told: Callable[[int], None]
    size_bytes: int = 0
    head: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> int:
        self.head += data[: max(0, self.head_bytes - len(self.head))]
        self.size_bytes += len(data)
        self.told(self.size_bytes)
        return len(data)


def fetch(server: str, file: str, received: Received) -> bool:
    """Blocks. False: the server fell silent. Raises TftpRefused."""
    try:
        client = TftpClient(server, PORT, {"blksize": BLOCK_BYTES})
        client.download(file, received, timeout=TIMEOUT_S, retries=RETRIES)
    except TftpTimeout:
        return False
    except TftpFileNotFoundError as error:
        raise TftpRefused("File not found") from error
    except TftpException as error:
        raise TftpRefused(str(error)) from error
    except OSError:
        return False
    return True
