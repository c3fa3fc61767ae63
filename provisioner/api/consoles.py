"""What serial consoles said, and what they go on to say."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import Query
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from provisioner.api.context import ApiContext
from provisioner.core.errors import Conflict, TransientError
from provisioner.core.model import Instance
from provisioner.core.states import InstanceState
from provisioner.protocols.console import ConsoleBook

MAX_TAIL_BYTES = 2**20
LOOK_S = 0.25
"""How often a console that is followed is looked at."""
ASK_AGAIN_S = 5.0
"""Whether its instance still has the node is asked when somebody says that something has become of it, and so
often if nobody does."""

TailBytes = Annotated[int, Query(ge=0, le=MAX_TAIL_BYTES, description="How much of what it said.")]
Follow = Annotated[bool, Query(description="Go on until the client leaves.")]


def answer(
    context: ApiContext, node_id: str | None, tail_bytes: int, follow: bool, instance_id: str | None = None
) -> Response:
    """instance_id: whose part of what the node said is told, None: all; following ends when this instance no
    longer has the node, or who asked lost the right to."""
    book = context.consoles
    if node_id is None:
        return PlainTextResponse("")
    if book is None:
        raise Conflict(
            "read a console",
            answer="consoles are recorded by compute hosts, and none runs in the API's process",
            advice="Look into the folder consoles in the state_dir of the node's owner",
        )
    if not follow:
        return PlainTextResponse(_tail(book, node_id, tail_bytes, instance_id))
    return _Followed(context, _said(context, book, node_id, tail_bytes, instance_id))


class _Followed(StreamingResponse):
    """Counted from before its beginning until its client has gone."""

    def __init__(self, context: ApiContext, said: AsyncGenerator[str, None]) -> None:
        super().__init__(said, media_type="text/plain; charset=utf-8")
        self._context = context
        self._said = said

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._context.limits.open.one(self._context.who, "follow a console"):
            async with aclosing(self._said):
                await super().__call__(scope, receive, send)


def _tail(book: ConsoleBook, node_id: str, tail_bytes: int, instance_id: str | None) -> str:
    return book.text(node_id, of=instance_id, tail_bytes=tail_bytes) if tail_bytes else ""


async def _said(
    context: ApiContext, book: ConsoleBook, node_id: str, tail_bytes: int, instance_id: str | None
) -> AsyncGenerator[str, None]:
    told = book.position(node_id)
    yield _tail(book, node_id, tail_bytes, instance_id)
    watch = context.store.watch(*([] if instance_id is None else [f"instance:{instance_id}"]))
    asked_s = -math.inf
    try:
        while True:
            try:
                now_s = context.clock.monotonic_s()
                if instance_id is not None and (await watch.wait(0) or now_s >= asked_s + ASK_AGAIN_S):
                    asked_s = -math.inf  # should it fail
                    if not await _has(context, instance_id, node_id):
                        return
                    asked_s = now_s
                await context.clock.sleep(LOOK_S)
                if not await context.still_holds():
                    return
            except TransientError:
                # Nothing is told while nobody knows who may read it; what was said meanwhile comes after.
                await context.clock.sleep(LOOK_S)
                continue
            now = book.position(node_id)
            if now > told:
                yield book.text(node_id, of=instance_id, since=told, tail_bytes=MAX_TAIL_BYTES)
            told = now
    finally:
        watch.close()


async def _has(context: ApiContext, instance_id: str, node_id: str) -> bool:
    found = await context.store.transact(lambda tx: tx.get(Instance, instance_id))
    return found is not None and found.node_id == node_id and found.state is not InstanceState.DELETED
