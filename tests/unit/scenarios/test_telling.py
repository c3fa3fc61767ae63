"""What wakes the client of a story in the model."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from provisioner.core.model import Image, ImageState, NodeRequest, RequestState
from scenarios.runner.model.telling import Telling
from scenarios.runner.trace import Trace
from tests.unit.records import NOW, image, node


def telling() -> Telling:
    return Telling(Trace(), lambda: 0.0, lambda where, text: None)


def test_what_changes_between_a_look_and_the_wait_for_it_is_news() -> None:
    async def story(told: Telling, queued: Image) -> None:
        told.changed(None, queued)
        # Here its client looks at it, and is about to wait.
        told.changed(queued, replace(queued, state=ImageState.ACTIVE))
        async with asyncio.timeout(5):
            await told.news(queued.name)

    asyncio.run(story(telling(), image(state=ImageState.QUEUED)))


def test_the_answer_to_a_request_is_news_of_its_node() -> None:
    """Its client waits by the node's name."""

    async def story(told: Telling) -> None:
        asked = NodeRequest(id="request-1", node_id="node-1", verb="power:on", created_at=NOW, updated_at=NOW)
        told.changed(None, node())
        told.changed(None, asked)
        await told.news("n1")  # that it is asked for
        waiting = asyncio.ensure_future(told.news("n1"))
        await asyncio.sleep(0)
        assert not waiting.done()
        told.changed(asked, replace(asked, state=RequestState.DONE))
        async with asyncio.timeout(5):
            await waiting

    asyncio.run(story(telling()))


def test_that_something_is_new_is_no_news_of_it() -> None:
    """Who has asked for it looks first."""

    async def story(told: Telling, queued: Image) -> bool:
        told.changed(None, queued)
        waiting = asyncio.ensure_future(told.news(queued.name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ended = waiting.done()
        waiting.cancel()
        return ended

    assert not asyncio.run(story(telling(), image(state=ImageState.QUEUED)))
