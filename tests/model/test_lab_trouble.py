"""What breaks in the lab itself, before a story begins, is told as such."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scenarios.runner.client import PREPARED_S
from scenarios.runner.model.contents import ImageServer
from scenarios.runner.play import play_story
from scenarios.runner.random_story import random_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict


def test_an_image_that_never_comes_ends_the_story_and_says_nothing_of_the_provisioner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fetch(self: ImageServer, url: str, **how: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(ImageServer, "fetch", fetch)
    result = play_story(random_story(3, nodes=1), Fidelity.MODEL, 3).result
    assert result.verdict is Verdict.INFRA
    assert f"is saving still, {PREPARED_S:.0f} s after" in result.trouble
