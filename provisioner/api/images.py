"""/v1/images"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from provisioner.api import image_orders, image_shares, views
from provisioner.api.answers import answer, page, problem_of_error
from provisioner.api.context import After, ApiContext, Context, Limit
from provisioner.api.image_shares import MAX_SHARES
from provisioner.api.once import once
from provisioner.api.rights import GuardedRoute
from provisioner.api.visible import find_image, find_own_image, images_of
from provisioner.config.proof_of_life import ProofOfLife
from provisioner.config.words import Word
from provisioner.core.errors import ProvisionerError, TransientError
from provisioner.core.model import Image, ImageKind
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/images", tags=["images"], route_class=GuardedRoute)


WHOM = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A tenant's name, or its account."""


def _checked_url(url: str) -> str:
    parts = urlsplit(url)  # raises ValueError, as `port` does
    if parts.port == 0:
        raise ValueError("there is no port 0")
    if parts.scheme != "file" and not parts.hostname:
        raise ValueError("it names no host")
    return url


ImageUrl = Annotated[
    str, Field(max_length=2048, pattern=r"^(https?|file)://[^\x00]*$"), AfterValidator(_checked_url)
]


class ImageOrder(BaseModel):
    """url: fetched by the provisioner; without it, the bytes are PUT to …/content. public: shared with all
    tenants, as an operator's are unless it says otherwise; others can't."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    kind: ImageKind
    format: Literal["raw", "qcow2"] = "raw"
    arch: Literal["x86_64", "arm64", "armhf", "tilepro64"] = "x86_64"
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-fA-F]{64}$")] = None
    url: ImageUrl | None = None
    kernel_id: Word | None = None
    ramdisk_id: Word | None = None
    command_line: Annotated[str, Field(max_length=1024, pattern=r"^[ -~]*$")] = ""
    proof_of_life: tuple[ProofOfLife, ...] = ()
    public: bool | None = None


Whom = Annotated[tuple[Annotated[str, Field(pattern=WHOM)], ...], Field(max_length=MAX_SHARES)]


class SharingOrder(BaseModel):
    """public: with all tenants, which operators alone may do. add, remove: tenants by their names, or by
    their accounts (twelve digits), as EC2 calls them."""

    model_config = ConfigDict(extra="forbid")

    public: bool | None = None
    add: Whom = ()
    remove: Whom = ()


@router.post("", status_code=201)
async def register(context: Context, request: Request, order: ImageOrder) -> Response:
    made = await once(context, request, 201, lambda tx: image_orders.register(tx, context, order))
    context.images_queued.set()
    return made


@router.put("/{image}/content")
async def upload(context: Context, request: Request, image: str) -> Response:
    """The image's bytes, streamed; answers when they are stored and proven."""
    length = request.headers.get("content-length", "")
    size_bytes = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
    try:
        return answer(await image_orders.receive(context, image, _body(request, image), size_bytes))
    except ProvisionerError as error:
        refusal = await problem_of_error(request, error)
        # The client may still be sending: without this, all that it has would be received for nothing.
        refusal.headers["Connection"] = "close"
        return refusal


async def _body(request: Request, image: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise TransientError(
            f"receive the bytes of image {image}", answer="the client went away", advice="Send them again"
        ) from error


@router.get("")
async def list_images(
    context: Context, request: Request, limit: Limit = 100, after: After = None
) -> Response:
    def read(tx: Tx) -> list[Image]:
        if context.who.oversees:
            return tx.find(Image, after=after, limit=limit)
        return images_of(tx, context.who.tenant, after=after, limit=limit)

    found = await context.store.transact(read)
    return page(request, [views.image(image) for image in found], limit)


@router.get("/{image}")
async def show(context: Context, image: str) -> Response:
    def read(tx: Tx) -> views.View:
        return _view(tx, context, find_image(tx, context.who, image))

    return answer(await context.store.transact(read))


def _view(tx: Tx, context: ApiContext, image: Image) -> views.View:
    """With whom it is shared is for its own tenant to see, and for operators."""
    shares = image_shares.shared_with(tx, image) if context.who.sees(image.tenant) else []
    return {**views.image(image), "shared_with": sorted(share.said for share in shares)}


@router.put("/{image}/sharing")
async def share(context: Context, image: str, order: SharingOrder) -> Response:
    """Share an image with all tenants or with single ones, or keep it to its own from now on."""

    def change(tx: Tx) -> views.View:
        found = find_own_image(tx, context.who, image)
        if order.public is not None:
            image_orders.share(tx, found, context.who, public=order.public)
        image_shares.give(tx, found, order.add)
        image_shares.take(tx, found, order.remove)
        return _view(tx, context, find_image(tx, context.who, found.id))

    return answer(await context.store.transact(change))


@router.delete("/{image}", status_code=204)
async def delete(context: Context, image: str) -> Response:
    await image_orders.remove(context, image)
    return Response(status_code=204)
