"""What a telnet client says beside its text: options, which it is refused, one by one (RFC 854, RFC 855)."""

from __future__ import annotations

import re

IAC, DONT, DO, WONT, WILL = b"\xff", b"\xfe", b"\xfd", b"\xfc", b"\xfb"

_COMMAND = re.compile(rb"\xff(?:\xfa.*?\xff\xf0|[\xfb-\xfe].|[^\xfa-\xff]|(\xff))", re.DOTALL)
"""A negotiation to its end, a wish with its option, any other command; or an escaped 255."""

_REFUSALS = {DO: WONT, WILL: DONT}
"""To a wish. What the other side won't do needs no answer, and gets none: no two ever answer for ever."""


def heard(data: bytes) -> tuple[bytes, bytes]:
    """The text, and what is to be answered to the rest. data: a line, as clients end it: CR LF or CR NUL."""
    refused = (
        IAC + _REFUSALS[command[1:2]] + command[2:3]
        for command in (match.group() for match in _COMMAND.finditer(data))
        if command[1:2] in _REFUSALS
    )
    text = _COMMAND.sub(lambda match: match.group(1) or b"", data)
    return text.strip(b"\r\n\0"), b"".join(refused)
