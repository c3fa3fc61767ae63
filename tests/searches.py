"""How long tests search through examples."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def searching(most: int, **options: Any) -> settings:
    """Through `most` examples, or through the part of them that the profile has of the suite's."""
    profile, suite = settings.default, settings.get_profile("suite")
    assert profile is not None
    return settings(max_examples=max(1, most * profile.max_examples // suite.max_examples), **options)
