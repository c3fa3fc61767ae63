"""/v1/audit"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import page
from provisioner.api.context import Context, Limit
from provisioner.api.rights import GuardedRoute
from provisioner.config.words import Word
from provisioner.core.model import AuditRecord

router = APIRouter(prefix="/v1/audit", tags=["service"], route_class=GuardedRoute)

Before = Annotated[
    int | None, Query(ge=0, le=2**62, description="Begin after, that is before, the record with this id.")
]


@router.get("")
async def list_records(
    context: Context,
    request: Request,
    limit: Limit = 100,
    after: Before = None,
    tenant: Word | None = None,
    user: Word | None = None,
    outcome: Word | None = None,
) -> Response:
    """Who did what, the newest first."""
    wanted = {"tenant": tenant, "user_id": user, "outcome": outcome}
    where = {field: value for field, value in wanted.items() if value is not None}
    found = await context.store.transact(
        lambda tx: tx.find(AuditRecord, where=where, after=after, limit=limit, newest_first=True)
    )
    return page(request, [views.audit_record(record) for record in found], limit)
