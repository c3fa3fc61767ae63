"""How long tests search through examples."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def searching(most: int, **options: Any) -> settings:
    """Through `most` examples, or through the part of them that the profile in use has of Hypothesis' own.
    Where no conftest is, in a process that a test starts, that is in use."""
    used, own = settings.default, settings.get_profile("default")
    assert used is not None
    return settings(max_examples=max(1, most * used.max_examples // own.max_examples), **options)
