"""provisioner flavor …, key …"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli.client import path_of
from provisioner.cli.exits import USAGE, CliError
from provisioner.cli.files import text_of
from provisioner.cli.named import Name, add_delete, add_list
from provisioner.cli.options import IdempotencyKey, Json, client_and_output

flavors = typer.Typer(help="Flavors: what instances need.", no_args_is_help=True)
keys = typer.Typer(help="Keys that may log in.", no_args_is_help=True)

FLAVOR = {
    "name": "flavor",
    "cpus": "CPUs",
    "memory_mib": "MiB",
    "disk_mib": "disk MiB",
    "swap_mib": "swap MiB",
    "ephemeral_mib": "ephemeral MiB",
    "extra_specs": "extra specs",
}


@flavors.command("create")
def create_flavor(
    context: typer.Context,
    name: Name,
    cpus: Annotated[int, typer.Option(min=0)] = 1,
    memory_mib: Annotated[int, typer.Option(min=0)] = 512,
    disk_mib: Annotated[int, typer.Option(min=0, help="Of the root file system.")] = 1024,
    swap_mib: Annotated[int, typer.Option(min=0)] = 0,
    ephemeral_mib: Annotated[int, typer.Option(min=0, help="An empty file system beside the root's.")] = 0,
    spec: Annotated[list[str] | None, typer.Option(help="key=value, such as cpu_arch=x86_64.")] = None,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Make a flavor."""
    client, output = client_and_output(context, as_json)
    specs = dict(word.split("=", 1) for word in spec or [] if "=" in word)
    if len(specs) != len(spec or []):
        raise CliError("--spec takes key=value", USAGE)
    order = {
        "name": name,
        "cpus": cpus,
        "memory_mib": memory_mib,
        "disk_mib": disk_mib,
        "swap_mib": swap_mib,
        "ephemeral_mib": ephemeral_mib,
        "extra_specs": specs,
    }
    output.record(client.post("/v1/flavors", order, idempotency_key), tuple(FLAVOR))


@flavors.command("show")
def show_flavor(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a flavor."""
    client, output = client_and_output(context, as_json)
    output.record(client.get(path_of("flavors", name)), tuple(FLAVOR))


@keys.command("add")
def add_key(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Option(help="The public key, such as id_ed25519.pub.")],
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Add a public key."""
    client, output = client_and_output(context, as_json)
    order = {"name": name, "public_key": text_of(file, "--file")}
    output.record(client.post("/v1/keys", order, idempotency_key), ("name", "public_key"))


add_list(flavors, "flavors", "/v1/flavors", FLAVOR)
add_delete(flavors, "flavors", "Remove a flavor; its instances keep what they have.")
add_list(keys, "keys", "/v1/keys", {"name": "key", "public_key": "public key"})
add_delete(keys, "keys", "Remove a key; instances that have it keep it.")
