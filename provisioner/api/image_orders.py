"""Registering, receiving and removing images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from provisioner.api import views
from provisioner.api.context import ApiContext, by_id_or_name
from provisioner.api.image_shares import forget_image
from provisioner.api.resource_tags import forget_tags
from provisioner.api.visible import find_image, find_own_image
from provisioner.core.command_line import check_words_of
from provisioner.core.ec2_ids import image_id
from provisioner.core.errors import (
    Conflict,
    Defect,
    Forbidden,
    ImagesAway,
    InvalidInput,
    NotFound,
    ProvisionerError,
    TransientError,
)
from provisioner.core.model import Failure, Image, ImageKind, ImageState, Instance, boots_with_ramdisk
from provisioner.core.roles import Principal
from provisioner.core.shown_url import shown_url
from provisioner.core.states import LIVE
from provisioner.protocols.image import StoredImage
from provisioner.protocols.store import Tx

if TYPE_CHECKING:
    from provisioner.api.images import ImageOrder

log = structlog.get_logger(__name__)

MAX_IMAGE_BYTES = 2**40

MAX_PER_TENANT = 1000

WAITING = (ImageState.QUEUED, ImageState.SAVING)
"""For bytes: what has a URL is fetched."""

RECEIVABLE = (*WAITING, ImageState.ERROR)


class TooManyImages(Conflict):
    """Its tenant has as many as it may."""


def register(tx: Tx, context: ApiContext, order: ImageOrder) -> views.View:
    """Raises Conflict when the name is taken, InvalidInput when kernel, ramdisk or command line don't fit,
    Forbidden for what operators alone may ask for."""
    who = context.who
    public = who.oversees if order.public is None else order.public
    _check_allowed(who, order, public)
    _check_url(context, order)
    check_words_of(order.name, order.arch, order.command_line)
    _check_name_free(tx, who.tenant, order.name, public)
    if tx.count(Image, where={"tenant": who.tenant}) >= MAX_PER_TENANT:
        raise TooManyImages(
            f"register image {order.name}",
            answer=f"its tenant has {MAX_PER_TENANT}",
            advice="Delete those that aren't used",
        )
    boot = {"kernel_id": order.kernel_id, "ramdisk_id": order.ramdisk_id}
    if order.kind is ImageKind.ROOT:
        boot["kernel_id"] = _booting(tx, who, order, "kernel_id", ImageKind.KERNEL)
        if boots_with_ramdisk(order.arch):
            boot["ramdisk_id"] = _booting(tx, who, order, "ramdisk_id", ImageKind.RAMDISK)
        elif order.ramdisk_id is not None:
            raise InvalidInput(
                f"register image {order.name}",
                field="ramdisk_id",
                answer=f"{order.arch} boots its kernel without a ramdisk",
            )
    elif any(boot.values()):
        raise InvalidInput(
            f"register image {order.name}",
            field="kernel_id" if order.kernel_id else "ramdisk_id",
            answer=f"an image of kind {order.kind} has none of its own",
        )
    now = tx.now()
    shown = shown_url(order.url or "")
    image = Image(
        id=context.ids.uuid(),
        name=order.name,
        kind=order.kind,
        format=order.format,
        arch=order.arch,
        sha256=(order.sha256 or "").lower(),
        kernel_id=boot["kernel_id"],
        ramdisk_id=boot["ramdisk_id"],
        command_line=order.command_line,
        proof_of_life=order.proof_of_life,
        source_url=shown,
        source_url_sealed=context.seal(order.url) if order.url and order.url != shown else "",
        source_trusted=who.oversees,
        tenant=who.tenant,
        public=public,
        created_at=now,
        updated_at=now,
    )
    tx.insert(image)
    tx.notify("images")
    return views.image(image)


def _check_allowed(who: Principal, order: ImageOrder, public: bool) -> None:
    if who.oversees:
        return
    if public:
        raise Forbidden(
            f"register image {order.name}",
            answer="operators alone share images with all tenants",
            advice="Leave out `public`, or ask an operator",
        )
    if order.url and order.url.startswith("file:"):
        # It would read whatever the provisioner can: its keys, and other tenants' images.
        raise Forbidden(
            f"register image {order.name}",
            answer="operators alone have files of the provisioner's system read",
            advice="Send the bytes, or give an https URL",
        )


def _check_url(context: ApiContext, order: ImageOrder) -> None:
    """What is plain from the URL itself. Where a name leads is seen when it is fetched."""
    if context.who.oversees or not order.url:
        return
    if context.image_urls.members == "none" and not context.image_urls.also:
        answer = "members' images are not fetched from URLs here"
    elif _is_address(host := urlsplit(order.url).hostname or "") and not context.image_urls.allows(host):
        answer = f"members' images may not come from {host}"
    else:
        return
    raise Forbidden(
        f"register image {order.name}",
        answer=answer,
        advice="Send the bytes, or ask an operator: `image_urls` of the configuration says what is allowed",
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _check_name_free(tx: Tx, tenant: str, name: str, public: bool) -> None:
    """Names are a tenant's own, and those of public images unique: what others keep isn't
    told."""
    for other in tx.find(Image, where={"name": name}):
        if other.tenant == tenant or (public and other.public):
            raise Conflict(
                f"register image {name}", answer="its name is taken", advice="Delete that one, or use it"
            )


def share(tx: Tx, image: Image, who: Principal, *, public: bool) -> None:
    """With all tenants, or no longer; instances keep what they have. Raises Forbidden, Conflict."""
    if public is image.public:
        return
    if not who.oversees:
        raise Forbidden(
            f"share image {image.name}",
            answer="operators alone share images with all tenants",
            advice="Share it with single tenants, or ask an operator",
        )
    if public:
        for part in filter(None, (image.kernel_id, image.ramdisk_id)):
            found = tx.get(Image, part)
            if found is not None and not found.public:
                raise Conflict(
                    f"share image {image.name}",
                    answer=f"image {found.name}, which it boots with, is private",
                    advice="Share that one first",
                )
        for other in tx.find(Image, where={"name": image.name, "public": True}):
            raise Conflict(f"share image {image.name}", answer=f"image {other.id} is public under this name")
    tx.update(Image, image.id, {"public": public})


def _booting(tx: Tx, who: Principal, order: ImageOrder, field: str, kind: ImageKind) -> str:
    tried, id_or_name = f"register image {order.name}", getattr(order, field)
    if id_or_name is None:
        raise InvalidInput(
            tried,
            field=field,
            answer="a root file system needs a kernel and a ramdisk to boot it",
            advice=f"Register one of kind {kind} first and name it here",
        )
    found = find_image(tx, who, id_or_name)
    if found.kind is not kind:
        raise InvalidInput(tried, field=field, answer=f"image {found.name} is of kind {found.kind}")
    if found.arch != order.arch:
        raise InvalidInput(
            tried, field=field, answer=f"image {found.name} is for {found.arch}, not {order.arch}"
        )
    return found.id


async def receive(
    context: ApiContext, id_or_name: str, chunks: AsyncIterator[bytes], size_bytes: int | None
) -> views.View:
    """Stores the bytes that a client sends. Raises what the image store raises; the image is ERROR then,
    and may be sent again. So it may when whoever received it before is dead."""
    found = await context.store.transact(lambda tx: find_own_image(tx, context.who, id_or_name))
    async with context.images.receiving(found.id):
        image = await context.store.transact(lambda tx: _start(tx, find_own_image(tx, context.who, found.id)))
        return await _save(
            context,
            image,
            lambda then: context.images.save(
                chunks,
                format=image.format,
                kind=image.kind,
                arch=image.arch,
                expected_sha256=image.sha256 or None,
                max_bytes=MAX_IMAGE_BYTES,
                size_bytes=size_bytes,
                then=then,
            ),
        )


async def fetch(context: ApiContext, image_id: str) -> None:
    """Stores the bytes behind the image's URL, if it is still to be fetched: another process may have done it
    since it was found. Raises as `receive`."""

    def start(tx: Tx) -> Image | None:
        found = by_id_or_name(tx, Image, "image", image_id)
        return _start(tx, found) if found.state in WAITING else None

    async with context.images.receiving(image_id):
        image = await context.store.transact(start)
        if image is None:
            return
        await _save(
            context,
            image,
            lambda then: context.images.fetch(
                context.unseal(image.source_url_sealed) if image.source_url_sealed else image.source_url,
                format=image.format,
                kind=image.kind,
                arch=image.arch,
                expected_sha256=image.sha256 or None,
                max_bytes=MAX_IMAGE_BYTES,
                allows=None if image.source_trusted else context.image_urls.allows,
                then=then,
            ),
        )


def _start(tx: Tx, image: Image) -> Image:
    """By who is `receiving` it: one that is SAVING already has lost its receiver."""
    changes = {"state": ImageState.SAVING, "failure": None}
    if not tx.update(Image, image.id, changes, expect={"state": RECEIVABLE}):
        raise Conflict(f"store the bytes of image {image.name}", answer=f"it is {image.state} already")
    return image


async def _save(
    context: ApiContext,
    image: Image,
    store: Callable[[Callable[[StoredImage], Awaitable[None]]], Awaitable[StoredImage]],
) -> views.View:
    came, shown = False, {}

    async def finish(stored: StoredImage) -> None:
        nonlocal came, shown
        came = True
        shown = await _finish(context, image, stored)

    try:
        await store(finish)
        return shown
    except BaseException as error:
        # Whatever happened, cancellation too: the image must not stay SAVING. Another process may have stored
        # the same bytes meanwhile.
        changes, saving = _after(error, image, came), {"state": ImageState.SAVING}
        try:
            await context.store.transact(lambda tx: tx.update(Image, image.id, changes, expect=saving))
        except TransientError:
            if isinstance(error, Exception):
                raise
            # Who cancelled this waits for its end; an image that is SAVING is fetched by the next process.
        raise


def _after(error: BaseException, image: Image, came: bool) -> dict[str, Any]:
    """What becomes of an image that isn't whole, or, if its bytes `came`, of which the store doesn't know."""
    if image.source_url:
        if isinstance(error, asyncio.CancelledError):
            return {"state": ImageState.QUEUED}  # this process is about to end: the next one fetches it
        if isinstance(error, ImagesAway) or (came and isinstance(error, TransientError)):
            return {"state": ImageState.QUEUED}
    if not isinstance(error, Exception):
        told = TransientError(
            f"receive the bytes of image {image.name}",
            answer="the process that received them ended",
            advice="Send them again, or delete the image and register it anew",
        )
        failure = Failure(code="interrupted", message=told.message)
        return {"state": ImageState.ERROR, "failure": failure}
    if not isinstance(error, ProvisionerError):
        error = Defect.of("store the bytes", f"image {image.name}", error)
    return {"state": ImageState.ERROR, "failure": Failure(code=error.code, message=error.message)}


async def _finish(context: ApiContext, image: Image, stored: StoredImage) -> views.View:
    """Raises NotFound, or Conflict, when the image has come to something else meanwhile; bytes that no image
    has are removed then."""
    changes = {
        "state": ImageState.ACTIVE,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "virtual_size_bytes": stored.virtual_size_bytes,
        "tree_digest": stored.tree_digest,
    }

    def finish(tx: Tx) -> tuple[Image | None, bool]:
        """The image, and whether these bytes are to be removed."""
        if tx.update(Image, image.id, changes, expect={"state": ImageState.SAVING}):
            tx.notify("images", "instances")
        return tx.get(Image, image.id), _unused(tx, stored.sha256)

    finished, orphan = await context.store.transact(finish)
    if orphan:
        await context.images.delete(stored.sha256)
    tried = f"store the bytes of image {image.name}"
    if finished is None:
        raise NotFound(tried, answer="it was deleted in the meantime")
    if finished.state is not ImageState.ACTIVE or finished.sha256 != stored.sha256:
        raise Conflict(tried, answer=f"it is {finished.state} by now, and not by these bytes")
    return views.image(finished)


async def remove(context: ApiContext, id_or_name: str) -> None:
    """Removes the image, and its bytes if no other has the same. Raises Conflict while something needs it."""
    async with context.images.alone():
        orphan = await context.store.transact(
            lambda tx: delete(tx, find_own_image(tx, context.who, id_or_name))
        )
        if orphan:
            await context.images.delete(orphan)


async def forget_bytes(context: ApiContext, sha256: str) -> None:
    """Removes bytes if no image has them any longer. Who can't do it now logs that, since the image is gone
    already: the sweep at the next start does it."""
    try:
        async with context.images.alone():
            if await context.store.transact(lambda tx: _unused(tx, sha256)):
                await context.images.delete(sha256)
    except ProvisionerError as error:
        log.warning("image.bytes_left", sha256=sha256, cause=error.message)


def delete(tx: Tx, image: Image) -> str | None:
    """The image, and not its bytes: returns what names them if no other has the same. Raises Conflict."""
    for field in ("image_id", "kernel_id", "ramdisk_id"):
        users = tx.find(Instance, where={field: image.id, "state": LIVE}, limit=1)
        if users:
            raise Conflict(
                f"delete image {image.name}",
                answer=f"{_named('instance', users[0], image)} was made of it",
                advice="Delete the instances first",
            )
    for field in ("kernel_id", "ramdisk_id"):
        for user in tx.find(Image, where={field: image.id}, limit=1):
            told = f"{_named('image', user, image)} boots with it"
            raise Conflict(f"delete image {image.name}", answer=told)
    forget_image(tx, image)
    forget_tags(tx, image_id(image))
    tx.delete(Image, image.id)
    return image.sha256 if image.sha256 and _unused(tx, image.sha256) else None


def _named(what: str, user: Instance | Image, image: Image) -> str:
    """Whom it is shared with, and for what, is theirs to tell."""
    return f"{what} {user.name}" if user.tenant == image.tenant else f"{what} of another tenant"


def _unused(tx: Tx, sha256: str) -> bool:
    return not tx.count(Image, where={"sha256": sha256})
