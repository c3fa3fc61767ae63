"""How many files, sockets and pipes this process may have open."""

from __future__ import annotations

import resource
from errno import EMFILE, ENFILE

MOST = 65_536
"""More than all bounds of ours add up to. What a process may have is a million here and there, and some
children close each that might be open."""

SHORTAGES = (EMFILE, ENFILE)
"""Of this process, and of this system."""


def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> int:
    """As far as this process may, without privilege. Returns what it is now.

    Systems start programs with 1,024, for the sake of those that use select(2): we don't.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limit()
