"""What the API forgets, so that it doesn't grow without end."""

from __future__ import annotations

from datetime import timedelta

import structlog

from provisioner.api.context import ApiContext
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import IdempotencyRecord
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

ANSWER_KEPT_S = 24 * 3600
"""An order may be repeated with its Idempotency-Key for so long."""

ROUND_S = 3600.0
BATCH = 500
"""Answers looked at in one transaction: bounds how long others wait for the store."""


async def forget_old_answers(context: ApiContext) -> None:
    """Until cancelled, once in a while."""
    while True:
        try:
            await forget_answers_older_than(context, ANSWER_KEPT_S)
        except ProvisionerError as error:
            log.warning("answers.not_forgotten", cause=error.message)
        await context.clock.sleep(ROUND_S)


async def forget_answers_older_than(context: ApiContext, age_s: float) -> None:
    """Removes the answers once given to idempotency keys. Raises what the store raises."""
    after: str | None = None

    def forget(tx: Tx) -> str | None:
        found = tx.find(IdempotencyRecord, after=after, limit=BATCH)
        oldest = tx.now() - timedelta(seconds=age_s)
        for record in found:
            if record.created_at < oldest:
                tx.delete(IdempotencyRecord, record.id)
        return found[-1].id if len(found) == BATCH else None

    while True:
        after = await context.store.transact(forget)
        if after is None:
            return
