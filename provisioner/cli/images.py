"""provisioner image …"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from provisioner.cli.client import Client, path_of
from provisioner.cli.exits import FAILED, UNREACHABLE, USAGE, CliError
from provisioner.cli.files import reading
from provisioner.cli.options import IdempotencyKey, Json, NameOrId, client_and_output
from provisioner.cli.output import Output, by_name
from provisioner.cli.watching import wait_until

app = typer.Typer(help="Images: what instances are made of.", no_args_is_help=True)

FETCH_TIMEOUT_S = 6 * 3600.0
CHUNK_BYTES = 2**20


COLUMNS = {
    "name": "image",
    "kind": "kind",
    "state": "state",
    "arch": "arch",
    "format": "format",
    "size_bytes": "bytes",
    "virtual_size_bytes": "as a disk",
    "tenant": "tenant",
    "public": "public",
    "sha256": "sha256",
}
SPARE = ("sha256", "virtual_size_bytes", "public", "tenant", "format", "arch")
DETAILS = (
    *(
        "name",
        "id",
        "kind",
        "state",
        "failure",
        "arch",
        "format",
        "size_bytes",
        "virtual_size_bytes",
        "sha256",
    ),
    *("tree_digest", "kernel_id", "ramdisk_id", "command_line", "proof_of_life", "source_url", "tenant"),
    *("public", "created_at"),
)


class Kind(StrEnum):
    root = "root"
    disk = "disk"
    kernel = "kernel"
    ramdisk = "ramdisk"


class Format(StrEnum):
    raw = "raw"
    qcow2 = "qcow2"


class Arch(StrEnum):
    x86_64 = "x86_64"
    arm64 = "arm64"
    armhf = "armhf"
    tilepro64 = "tilepro64"


@app.command()
def register(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name.")],
    kind: Annotated[Kind, typer.Option(help="root file system, whole disk, kernel or ramdisk.")],
    file: Annotated[Path | None, typer.Option(help="Where its bytes are.")] = None,
    url: Annotated[str | None, typer.Option(help="Where the provisioner fetches its bytes.")] = None,
    format: Annotated[Format, typer.Option(help="Of its bytes.")] = Format.raw,
    arch: Annotated[Arch, typer.Option(help="Of the nodes that it runs on.")] = Arch.x86_64,
    sha256: Annotated[str | None, typer.Option(help="Of its bytes; a file's own is computed.")] = None,
    kernel: Annotated[str | None, typer.Option(help="Of a root file system.")] = None,
    ramdisk: Annotated[str | None, typer.Option(help="Of a root file system.")] = None,
    command_line: Annotated[str, typer.Option(help="Added to the kernel's.")] = "",
    proof: Annotated[
        list[str] | None, typer.Option(help="phone_home, ssh_banner, console:<regular expression>.")
    ] = None,
    public: Annotated[
        bool | None,
        typer.Option("--public/--private", help="Shared with all tenants; an operator's are by default."),
    ] = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Register an image, from a file or a URL."""
    client, output = client_and_output(context, as_json)
    if (file is None) == (url is None):
        raise CliError("Say where the image's bytes are: either --file or --url.", USAGE)
    size_bytes = _size(file) if file else 0
    order: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "format": format,
        "arch": arch,
        "sha256": sha256 or (_sha256(file) if file else None),
        "url": url,
        "kernel_id": kernel,
        "ramdisk_id": ramdisk,
        "command_line": command_line,
        "proof_of_life": proof or [],
        "public": public,
    }
    image = client.post("/v1/images", order, idempotency_key)
    path = path_of("images", image["id"])
    if file is not None:
        with _progress(output) as bar:
            task = bar.add_task(escape(name), total=size_bytes)
            chunks = _chunks(file, lambda count: bar.advance(task, count))
            image = _upload(client, path, chunks, size_bytes)
    else:
        image = wait_until(
            lambda: client.get(path),
            lambda found: found["state"] in ("active", "error"),
            f"fetching {url}",
            FETCH_TIMEOUT_S,
        )
        if image["state"] == "error":
            raise CliError(image["failure"]["message"], FAILED)
    output.record(image, DETAILS)


def _upload(client: Client, path: str, chunks: Iterator[bytes], size_bytes: int) -> dict[str, Any]:
    try:
        return client.upload(f"{path}/content", chunks, size_bytes)
    except CliError as error:
        if error.code != UNREACHABLE:
            raise
        # An upload that is refused in its midst cuts the connection, and the answer with it: the image knows.
        failure = client.get(path)["failure"]
        if failure is None:
            raise
        raise CliError(failure["message"], FAILED) from error


def _size(file: Path) -> int:
    """Opens it too: what can't be read is refused before anything is registered."""
    with reading(file, "--file") as opened:
        return os.fstat(opened.fileno()).st_size


def _sha256(file: Path) -> str:
    """So that what arrives is what we have here."""
    with reading(file, "--file") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _chunks(file: Path, sent: Any) -> Iterator[bytes]:
    with reading(file, "--file") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
            sent(len(chunk))


def _progress(output: Output) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    on_terminal = output.console.is_terminal and not output.as_json
    return Progress(*columns, console=output.console, transient=True, disable=not on_terminal)


@app.command("list")
def list_images(context: typer.Context, as_json: Json = False) -> None:
    """List the images."""
    client, output = client_and_output(context, as_json)
    output.table(by_name(client.all("/v1/images")), COLUMNS, SPARE)


@app.command()
def show(context: typer.Context, image: NameOrId, as_json: Json = False) -> None:
    """Show an image."""
    client, output = client_and_output(context, as_json)
    output.record(client.get(path_of("images", image)), (*DETAILS, "shared_with"))


Whom = Annotated[
    list[str] | None,
    typer.Option("--with", help="A tenant, by its name or its account; may be given again. Else all."),
]


@app.command()
def share(context: typer.Context, image: NameOrId, whom: Whom = None, as_json: Json = False) -> None:
    """Share an image with all tenants, or with single ones."""
    _share(context, image, as_json, {"add": whom} if whom else {"public": True})


@app.command()
def unshare(context: typer.Context, image: NameOrId, whom: Whom = None, as_json: Json = False) -> None:
    """Share an image no longer, with all tenants or with single ones; instances keep what they have."""
    _share(context, image, as_json, {"remove": whom} if whom else {"public": False})


def _share(context: typer.Context, image: str, as_json: bool, order: dict[str, Any]) -> None:
    client, output = client_and_output(context, as_json)
    output.record(client.put(path_of("images", image, "sharing"), order), (*DETAILS, "shared_with"))


@app.command()
def delete(context: typer.Context, image: NameOrId, as_json: Json = False) -> None:
    """Remove an image, and its bytes if no other has the same."""
    client, output = client_and_output(context, as_json)
    client.delete(path_of("images", image))
    output.tell({"deleted": image}, escape(f"{image}: deleted"))
