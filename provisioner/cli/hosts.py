"""provisioner host …"""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.cli.client import path_of
from provisioner.cli.options import Json, client_and_output, name_or_id
from provisioner.cli.output import by_name

app = typer.Typer(help="Compute hosts: who owns which nodes.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Its host.name.", callback=name_or_id)]

COLUMNS = {
    "name": "host",
    "state": "state",
    "nodes": "nodes",
    "working": "worked on",
    "largest_free_node": "largest free node",
    "lease_left_s": "lease, s",
    "renewed_at": "last heartbeat",
    "epoch": "epoch",
}
SPARE = ("largest_free_node", "epoch", "working", "state")
DETAILS = (
    *("name", "state", "nodes", "working", "largest_free_node", "draining"),
    *("lease_left_s", "renewed_at", "started_at", "epoch"),
)


@app.command("list")
@app.command("ls", hidden=True)
def list_hosts(context: typer.Context, as_json: Json = False) -> None:
    """List the compute hosts, their leases, and how many nodes each owns."""
    client, output = client_and_output(context, as_json)
    output.table(by_name(client.all("/v1/hosts")), COLUMNS, SPARE)


@app.command()
def show(context: typer.Context, host: Name, as_json: Json = False) -> None:
    """Show a compute host."""
    client, output = client_and_output(context, as_json)
    output.record(client.get(path_of("hosts", host)), DETAILS)


@app.command()
def drain(context: typer.Context, host: Name, as_json: Json = False) -> None:
    """Have a host hand its nodes over, each when its work has ended, and be given no more."""
    client, output = client_and_output(context, as_json)
    output.record(client.put(path_of("hosts", host, "drain"), {}), DETAILS)


@app.command()
def undrain(context: typer.Context, host: Name, as_json: Json = False) -> None:
    """Let a host have nodes again."""
    client, output = client_and_output(context, as_json)
    output.record(client.delete(path_of("hosts", host, "drain")) or {}, DETAILS)


@app.command()
def forget(context: typer.Context, host: Name, as_json: Json = False) -> None:
    """Forget a host that is gone for good and owns nothing."""
    client, output = client_and_output(context, as_json)
    client.delete(path_of("hosts", host))
    if as_json:
        output.json({"forgotten": host})
    else:
        output.say(f"{host}: forgotten")
