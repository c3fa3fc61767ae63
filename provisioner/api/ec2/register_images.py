"""RegisterImage and DeregisterImage: machine images from where they lie, by a URL."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from provisioner.api import image_orders
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, bad_value, missing
from provisioner.api.ec2.ids import find_image
from provisioner.api.ec2.tags import of_specifications, put
from provisioner.api.images import ImageOrder
from provisioner.api.visible import find_own_image
from provisioner.core.ec2_ids import image_id
from provisioner.core.errors import Conflict
from provisioner.core.model import Image, ImageKind
from provisioner.protocols.store import Tx

_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})\Z")
_LETTERS = r"A-Za-z0-9()\[\]./\-'@_"
_AmiName = Annotated[
    str,
    Field(pattern=rf"^([A-Za-z0-9][A-Za-z0-9._-]{{0,127}}|[{_LETTERS}][{_LETTERS} ]{{1,126}}[{_LETTERS}])$"),
]
"""As EC2 has them, with no blank at either end; and shorter ones, as REST has them."""


class _Order(ImageOrder):
    name: _AmiName


_PARAMETERS = {"url": "ImageLocation", "arch": "Architecture", "name": "Name"}


def register_image(tx: Tx, call: Call) -> Members:
    """With a kernel and a ramdisk, a root file system; without, a whole disk. Its bytes are fetched after the
    answer: it is pending until then."""
    given = call.given
    if not given.get("ImageLocation"):
        raise missing("ImageLocation")
    tags = of_specifications(given.get("TagSpecifications", ()), "image")
    try:
        made = image_orders.register(tx, call.context, _order(tx, call.tenant, given))
    except image_orders.TooManyImages as error:
        raise Ec2Error("ImageLimitExceeded", error.message) from error
    except Conflict as error:
        raise Ec2Error("InvalidAMIName.Duplicate", f"AMI name {given['Name']} is already in use") from error
    image = tx.get(Image, made["id"])
    assert image is not None
    put(tx, call.tenant, [image_id(image)], tags)

    async def have_it_fetched() -> None:
        call.context.images_queued.set()

    call.later.append(have_it_fetched)
    return {"ImageId": image_id(image)}


def _order(tx: Tx, tenant: str, given: Members) -> ImageOrder:
    url, _, fragment = given["ImageLocation"].partition("#")
    digest = _SHA256.match(fragment)
    if fragment and digest is None:
        raise bad_value("ImageLocation", "after # stands sha256= and 64 hexadecimal digits")
    if not url.startswith(("https://", "http://")):
        # A file would be one of the provisioner's own system, which is no tenant's to read.
        raise bad_value("ImageLocation", "it is an http or https URL")
    kernel, ramdisk = given.get("KernelId"), given.get("RamdiskId")
    order: dict[str, Any] = {
        "name": given["Name"],
        "kind": ImageKind.ROOT if kernel or ramdisk else ImageKind.DISK,
        "format": _format(url),
        "arch": given.get("Architecture", "x86_64"),
        "url": url,
        "sha256": digest[1] if digest else None,
        "kernel_id": find_image(tx, tenant, kernel, ImageKind.KERNEL).id if kernel else None,
        "ramdisk_id": find_image(tx, tenant, ramdisk, ImageKind.RAMDISK).id if ramdisk else None,
    }
    try:
        return _Order(**order)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        if field == "name":
            raise Ec2Error(
                "InvalidAMIName.Malformed",
                "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
                "blanks, parentheses, brackets, '.', '/', '-', '@', '_' and apostrophes",
            ) from None
        told = {"arch": "it is x86_64, arm64, armhf or tilepro64"}
        raise bad_value(_PARAMETERS.get(field, field), told.get(field, "it can't be used")) from None


def _format(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        raise bad_value("ImageLocation", "it is no URL") from None
    return "qcow2" if path.endswith(".qcow2") else "raw"


def deregister_image(tx: Tx, call: Call) -> Members:
    """Not while an instance was made of it: it is started from it again."""
    image = find_image(tx, call.tenant, call.given["ImageId"])
    orphan = image_orders.delete(tx, find_own_image(tx, call.context.who, image.id))
    if orphan:
        call.later.append(lambda: image_orders.forget_bytes(call.context, orphan))
    return {"Return": True}
