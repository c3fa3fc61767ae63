from __future__ import annotations


class RamdiskError(Exception):
    """The ramdisk can't be built; the message says what was tried, what came back, what to do."""
