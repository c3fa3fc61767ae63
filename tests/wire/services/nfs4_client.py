"""A client of NFS 4.0 that keeps what a node keeps: the handles of files. Source: RFC 7530, RFC 7531."""

from __future__ import annotations

import socket
import struct
from itertools import count

from provisioner.services.ganesha_config import NFS_PORT

PROGRAM, VERSION, COMPOUND = 100003, 4, 1
GETFH, LOOKUP, PUTFH, PUTROOTFH, READ = 10, 15, 22, 24, 25
OK, ACCESS, STALE = 0, 13, 70

_xids = count(1)


def handle_of(server: str, *path: str) -> bytes:
    """Raises AssertionError with the server's status when it doesn't tell."""
    status, handle = compound(
        server, (PUTROOTFH, b""), *((LOOKUP, _opaque(n.encode())) for n in path), (GETFH, b"")
    )
    assert status == OK, f"status {status}"
    return handle


def read(server: str, handle: bytes) -> tuple[int, bytes]:
    """Status, and what is in the file of this handle; nobody has opened it."""
    anonymous = bytes(16)
    return compound(server, (PUTFH, _opaque(handle)), (READ, anonymous + struct.pack(">QI", 0, 4096)))


def compound(server: str, *operations: tuple[int, bytes]) -> tuple[int, bytes]:
    """Status of all, and the bytes that the last one gave, GETFH or READ."""
    body = b"".join(struct.pack(">I", number) + arguments for number, arguments in operations)
    arguments = _opaque(b"") + struct.pack(">II", 0, len(operations)) + body
    answer = _call(server, arguments)
    (status,) = struct.unpack_from(">I", answer)
    if status != OK:
        return status, b""
    # After status, tag and count, each operation's number and status; then what the last one gave.
    number, _ = operations[-1]
    text = answer[12 + 8 * len(operations) + (4 if number == READ else 0) :]
    (length,) = struct.unpack_from(">I", text)
    return status, text[4 : 4 + length]


def _call(server: str, arguments: bytes) -> bytes:
    xid = next(_xids)
    credentials = struct.pack(">I", 0) + _opaque(b"node") + struct.pack(">III", 0, 0, 0)
    head = struct.pack(">IIIIII", xid, 0, 2, PROGRAM, VERSION, COMPOUND)
    message = head + struct.pack(">I", 1) + _opaque(credentials) + struct.pack(">II", 0, 0) + arguments
    with socket.create_connection((server, NFS_PORT), timeout=30) as connection:
        connection.sendall(struct.pack(">I", 0x80000000 | len(message)) + message)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">I", stream.read(4))
            answer = stream.read(length & 0x7FFFFFFF)
    accepted = struct.pack(">IIIIII", xid, 1, 0, 0, 0, 0)
    assert answer.startswith(accepted), answer[:24].hex()
    return answer[len(accepted) :]


def _opaque(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)
