"""What the API forgets, so that it doesn't grow without end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from provisioner.api.context import ApiContext
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import IdempotencyRecord, Node, NodeRequest, RequestState
from provisioner.protocols.store import R, Tx

log = structlog.get_logger(__name__)

ANSWER_KEPT_S = 24 * 3600
"""An order may be repeated with its Idempotency-Key for so long."""

SIGNED = "signed "
"""Ids of signatures begin so, which are kept beside those answers; they come after all of theirs, which are
hexadecimal."""

REQUEST_KEPT_S = 24 * 3600
"""What came of an operator's command to a node can be asked for so long."""

ROUND_S = 3600.0
SHORT_ROUND_S = 120.0
"""Of what many requests leave behind, and is worth nothing some minutes later."""

BATCH = 200
"""Records looked at in one transaction: bounds how long others wait for the store."""


async def in_rounds(
    context: ApiContext,
    what: str,
    forget: Callable[[ApiContext], Awaitable[None]],
    every_s: float = ROUND_S,
) -> None:
    """Until cancelled, once in a while. what: as the log has it when a round fails."""
    while True:
        try:
            await forget(context)
        except Exception as error:  # whatever the store raises, there is another round
            log.warning(
                "housekeeping.failed",
                what=what,
                cause=str(error),
                exc_info=not isinstance(error, ProvisionerError),
            )
        await context.clock.sleep(every_s)


async def forget_each(
    context: ApiContext, kind: type[R], is_doomed: Callable[[Tx, R], bool], before: str | None = None
) -> None:
    """Looks at all records of a kind, or at those with an id that comes before that one, a batch after the
    other. Raises what the store raises."""
    after: str | int | None = None

    def forget(tx: Tx) -> str | int | None:
        found = tx.find(kind, after=after, limit=BATCH)
        for record in found:
            if before is not None and str(record.id) >= before:
                return None
            if is_doomed(tx, record):
                tx.delete(kind, record.id)
        return found[-1].id if len(found) == BATCH else None

    while True:
        after = await context.store.transact(forget)
        if after is None:
            return


async def forget_old_answers(context: ApiContext) -> None:
    """Those once given to idempotency keys. Raises what the store raises."""
    kept = timedelta(seconds=ANSWER_KEPT_S)
    await forget_each(
        context, IdempotencyRecord, lambda tx, record: record.created_at < tx.now() - kept, before=SIGNED
    )


async def forget_old_requests(context: ApiContext) -> None:
    """Operators' commands to nodes: those that were answered, and those whose node was deleted, which nobody
    will answer. Raises what the store raises."""
    kept = timedelta(seconds=REQUEST_KEPT_S)

    def is_doomed(tx: Tx, request: NodeRequest) -> bool:
        if request.state is RequestState.PENDING:
            return tx.get(Node, request.node_id) is None
        return request.updated_at < tx.now() - kept

    await forget_each(context, NodeRequest, is_doomed)
