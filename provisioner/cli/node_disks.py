"""provisioner node disks"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from provisioner.cli.client import path_of
from provisioner.cli.exits import USAGE, CliError
from provisioner.cli.options import Json, NameOrId, client_and_output


def disks(
    context: typer.Context,
    node: NameOrId,
    keep_disk: Annotated[
        list[str] | None,
        typer.Option(help="serial=, wwn=, model= or path=, or several with commas. Again for each disk."),
    ] = None,
    no_keep_disks: Annotated[bool, typer.Option("--no-keep-disks", help="All may be written to.")] = False,
    root_device: Annotated[str | None, typer.Option(help="The disk that gets the instance, alike.")] = None,
    no_root_device: Annotated[
        bool, typer.Option("--no-root-device", help="The smallest that is large enough.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Correct which of a node's disks are never written to, and which one gets the instance."""
    if (keep_disk and no_keep_disks) or (root_device is not None and no_root_device):
        raise CliError("Name disks, or say that there are none", USAGE)
    order: dict[str, Any] = {}
    if keep_disk or no_keep_disks:
        order["keep_disks"] = [_disk("--keep-disk", text) for text in keep_disk or []]
    if root_device is not None or no_root_device:
        order["root_device"] = _disk("--root-device", root_device) if root_device is not None else {}
    if not order:
        raise CliError("Say --keep-disk or --root-device, or --no-keep-disks or --no-root-device", USAGE)
    client, output = client_and_output(context, as_json)
    found = client.put(path_of("nodes", node, "disks"), order)
    output.record(found, ("name", "state", "root_device", "keep_disks"))


def _disk(option: str, text: str) -> dict[str, str]:
    """As it stands in a node file. A comma parts what is said of a disk where something else is said next: a
    model may have one in its name."""
    parts = [part.partition("=") for part in re.split(r",(?=\w+=)", text)]
    said = {name: value for name, _, value in parts if value}
    if len(said) != len(parts):
        raise CliError(f"{option} takes serial=, wwn=, model= or path=, each once, not {text!r}", USAGE)
    return said
