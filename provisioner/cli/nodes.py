"""provisioner node …"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from provisioner.cli.client import path_of
from provisioner.cli.consoles import Follow, show_console
from provisioner.cli.exits import FAILED, CliError
from provisioner.cli.node_disks import disks
from provisioner.cli.node_enrolment import enroll, power_device, verify
from provisioner.cli.node_tables import DETAILS, tell_nodes
from provisioner.cli.options import (
    IdempotencyKey,
    Json,
    NameOrId,
    Timeout,
    WaitForEnd,
    Wipe,
    client_and_output,
)
from provisioner.cli.power_orders import power_changed
from provisioner.cli.steps import timeline_of
from provisioner.cli.watching import wait_until

app = typer.Typer(help="Nodes: the machines.", no_args_is_help=True)

CLEAN_TIMEOUT_S = 3600.0


class Verb(StrEnum):
    on = "on"
    off = "off"
    cycle = "cycle"
    reset = "reset"
    soft = "soft"
    shutdown = "shutdown"
    status = "status"


class Switch(StrEnum):
    on = "on"
    off = "off"


app.command()(enroll)


@app.command("list")
def list_nodes(context: typer.Context, as_json: Json = False) -> None:
    """List the nodes."""
    client, output = client_and_output(context, as_json)
    tell_nodes(output, client.all("/v1/nodes"))


@app.command()
def show(context: typer.Context, node: NameOrId, as_json: Json = False) -> None:
    """Show a node."""
    client, output = client_and_output(context, as_json)
    output.record(client.get(path_of("nodes", node)), DETAILS)


@app.command()
def power(
    context: typer.Context,
    node: NameOrId,
    verb: Verb,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Switch a node's power, or ask how it is."""
    client, output = client_and_output(context, as_json)
    wish = {"verb": "refresh" if verb is Verb.status else verb}
    done = power_changed(client, path_of("nodes", node), wish, f"power {verb} of {node}", idempotency_key)
    output.tell(done, f"{node}: {done['answer']}")


@app.command()
def maintenance(
    context: typer.Context,
    node: NameOrId,
    switch: Switch,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: Json = False,
) -> None:
    """Keep a node from being given to instances, or give it back."""
    client, output = client_and_output(context, as_json)
    path = path_of("nodes", node, "maintenance")
    found = client.put(path, {"reason": reason}) if switch is Switch.on else client.delete(path)
    output.tell(found or {}, f"{node}: maintenance {switch}")


@app.command()
def reserve(
    context: typer.Context,
    node: NameOrId,
    tenant: Annotated[str, typer.Argument(help="The only one that may have it.")],
    as_json: Json = False,
) -> None:
    """Keep a node for one tenant. An instance that has it keeps it."""
    client, output = client_and_output(context, as_json)
    found = client.put(path_of("nodes", node, "reservation"), {"tenant": tenant})
    output.tell(found, f"{node}: reserved for {tenant}")


@app.command()
def unreserve(context: typer.Context, node: NameOrId, as_json: Json = False) -> None:
    """Let any tenant have a node."""
    client, output = client_and_output(context, as_json)
    found = client.delete(path_of("nodes", node, "reservation"))
    output.tell(found or {}, f"{node}: reserved for nobody")


app.command()(disks)
app.command("power-device")(power_device)
app.command()(verify)


@app.command()
def clean(
    context: typer.Context,
    node: NameOrId,
    wipe: Annotated[Wipe, typer.Option(help="What is done to its disks.")] = Wipe.quick,
    wait: WaitForEnd = False,
    timeout_s: Timeout = CLEAN_TIMEOUT_S,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Wipe the disks of a node that is available, and learn what it is made of; or clean one again whose
    cleaning had failed."""
    client, output = client_and_output(context, as_json)
    found = client.post(path_of("nodes", node, "clean"), {"wipe": wipe}, idempotency_key)
    if wait:
        found = wait_until(
            lambda: client.get(path_of("nodes", node)),
            lambda now: now["state"] not in ("cleaning", "clean_wait"),
            f"the cleaning of {node}",
            timeout_s,
        )
    if found["state"] == "clean_failed":
        raise CliError(found["failure"]["message"], FAILED)
    output.tell(found, f"{node}: {found['state']}")


@app.command()
def delete(
    context: typer.Context,
    node: NameOrId,
    unwiped: Annotated[
        bool,
        typer.Option(
            "--unwiped", help="Also when it owes a wipe: its disks may hold what its last instance left."
        ),
    ] = False,
    unplugged: Annotated[
        bool,
        typer.Option(
            "--unplugged",
            help="You saw that it has no power, though its power device can't tell. Its "
            "instance is deleted with it.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove a node from the inventory."""
    client, output = client_and_output(context, as_json)
    said = {"unwiped": unwiped, "unplugged": unplugged}
    client.delete(path_of("nodes", node), **{name: True for name, so in said.items() if so})
    output.tell({"deleted": node}, f"{node}: deleted")


@app.command()
def events(context: typer.Context, node: NameOrId, as_json: Json = False) -> None:
    """Show all that happened to a node, by whom it was seen."""
    client, output = client_and_output(context, as_json)
    listed = list(client.all(path_of("nodes", node, "events")))
    if as_json:
        output.json(listed)
    else:
        output.console.print(timeline_of(listed))


@app.command()
def console(context: typer.Context, node: NameOrId, follow: Follow = False, as_json: Json = False) -> None:
    """Show what a node's serial console said while it was worked on."""
    client, output = client_and_output(context, as_json)
    show_console(client, output, path_of("nodes", node, "console"), follow)
