"""Orders that are carried out once, however often a client repeats them.

The answer to an Idempotency-Key is stored in the transaction that carries the order out, so that there
is no moment in which a killed process could have done one without the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from fastapi import Request
from pydantic_core import to_json
from starlette.responses import Response

from provisioner.api.context import ApiContext
from provisioner.core.errors import Conflict, InvalidInput
from provisioner.core.model import IdempotencyRecord
from provisioner.protocols.store import Tx

MAX_KEY_BYTES = 200


async def once(
    context: ApiContext, request: Request, status: int, order: Callable[[Tx], dict[str, Any]]
) -> Response:
    """Runs `order` in a transaction and answers with what it returns, or with what it once returned."""
    key = request.headers.get("idempotency-key")
    if key is None:
        body = to_json(await context.store.transact(order))
        return Response(body, status, media_type="application/json")
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise InvalidInput("take the Idempotency-Key", answer=f"it must have 1 to {MAX_KEY_BYTES} characters")
    digest = hashlib.sha256(await request.body()).hexdigest()
    record_id = hashlib.sha256(
        "\n".join((request.state.token, request.method, request.url.path, key)).encode()
    ).hexdigest()

    def keyed(tx: Tx) -> tuple[int, str]:
        known = tx.get(IdempotencyRecord, record_id)
        if known is not None:
            if known.request_sha256 != digest:
                raise Conflict(
                    f"repeat the request with key {key}",
                    answer="its body differs from the first one's",
                    advice="Use a new key for a new request",
                )
            return known.status, known.body
        view = order(tx)
        if context.entry is not None:
            context.entry.made = str(view.get("id", ""))
        body = to_json(view).decode()
        tx.insert(
            IdempotencyRecord(
                id=record_id, request_sha256=digest, status=status, body=body, created_at=tx.now()
            )
        )
        return status, body

    code, text = await context.store.transact(keyed)
    return Response(text, code, media_type="application/json")
