"""/v1/tokens: what users prove themselves by to this API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer
from provisioner.api.context import Context
from provisioner.api.credentials import hash_token
from provisioner.api.rights import GuardedRoute
from provisioner.api.users import UserName, check_administered, find_user
from provisioner.config.words import Word
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import ApiToken
from provisioner.core.roles import Role
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/tokens", tags=["tenants and users"], route_class=GuardedRoute)

MAX_PER_USER = 100


class TokenOrder(BaseModel):
    """user: by default whoever asks. role: bounds what it may do to
    that; by default it is its user's, whatever that comes to be."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    user: UserName | None = None
    role: Role | None = None


@router.post("", status_code=201)
async def create(context: Context, order: TokenOrder) -> Response:
    """A new API token. It is in this answer and nowhere else, so an Idempotency-Key can't bring it back:
    a repeated order is refused because its name is taken."""
    token = context.ids.secret()

    def make(tx: Tx) -> views.View:
        user = find_user(tx, order.user or context.who.user)
        if tx.count(ApiToken, where={"user_id": user.id}) >= MAX_PER_USER:
            raise Conflict(
                f"make a token of user {user.id}",
                answer=f"it has {MAX_PER_USER}",
                advice="Delete those that aren't used",
            )
        record = ApiToken(
            id=hash_token(token), name=order.name, user_id=user.id, role=order.role, created_at=tx.now()
        )
        tx.insert(record)
        return views.token(record)

    return answer(await context.store.transact(make) | {"token": token}, 201)


@router.get("")
async def list_tokens(context: Context, user: Word | None = None) -> Response:
    where = {"user_id": user} if user is not None else None
    found = await context.store.transact(lambda tx: tx.find(ApiToken, where=where))
    return answer({"items": [views.token(token) for token in found]})


@router.delete("/{name}", status_code=204)
async def delete(context: Context, name: str) -> Response:
    def remove(tx: Tx) -> None:
        doomed = [token for token in tx.find(ApiToken) if name in (token.name, token.id[:16])]
        if not doomed:
            raise NotFound(f"find token {name}", answer="there is no such token")
        for token in doomed:
            tx.delete(ApiToken, token.id)
        check_administered(tx, f"delete token {name}")

    await context.store.transact(remove)
    context.forget_credentials()
    return Response(status_code=204)
