"""provisioner instance …"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from provisioner.cli.client import path_of
from provisioner.cli.consoles import Follow, show_console
from provisioner.cli.exits import CONFLICT, ENDED_IN_ERROR, CliError
from provisioner.cli.files import text_of
from provisioner.cli.options import IdempotencyKey, Json, NameOrId, Timeout, Wipe, client_and_output
from provisioner.cli.output import Output, by_name, cell, seconds_between
from provisioner.cli.power_orders import power_changed
from provisioner.cli.steps import rows_of, table_of, timeline_of
from provisioner.cli.watching import wait_for_instance

app = typer.Typer(help="Instances: machines that were asked for.", no_args_is_help=True)

TIMEOUT_S = 3600.0

Wait = Annotated[bool, typer.Option("--wait", help="Until it is active, and show how it goes.")]

COLUMNS = {
    "name": "instance",
    "state": "state",
    "power": "power",
    "node": "node",
    "address": "address",
    "flavor": "flavor",
    "created_at": "since",
    "waiting_for": "waits because",
}
SPARE = ("created_at", "flavor", "address")
DETAILS = (
    *(
        "name",
        "id",
        "state",
        "power",
        "address",
        "node",
        "flavor",
        "image_id",
        "waiting_for",
        "failure",
        "proof_of_life",
    ),
    *("wipe", "created_at"),
)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, which is its hostname too.")],
    image: Annotated[str, typer.Option(help="What it is made of.")],
    flavor: Annotated[str, typer.Option(help="What it needs.")] = "baremetal.small",
    kernel: Annotated[str | None, typer.Option(help="This one in place of the image's own.")] = None,
    ramdisk: Annotated[str | None, typer.Option(help="This one in place of the image's own.")] = None,
    key: Annotated[str | None, typer.Option(help="The key that may log in.")] = None,
    user_data: Annotated[
        Path | None, typer.Option(help="A file for its cloud-init, of 16 KiB at most.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="This node and no other.")] = None,
    host: Annotated[str | None, typer.Option(help="Nodes of this compute host alone.")] = None,
    zone: Annotated[str, typer.Option(help="Nodes of this zone alone.")] = "",
    proof: Annotated[
        list[str] | None, typer.Option(help="phone_home, ssh_banner, console:<regular expression>.")
    ] = None,
    wipe: Annotated[Wipe, typer.Option(help="What its deletion does to the disks.")] = Wipe.quick,
    wait: Wait = False,
    timeout_s: Timeout = TIMEOUT_S,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Ask for a machine."""
    client, output = client_and_output(context, as_json)
    order: dict[str, Any] = {
        "name": name,
        "flavor": flavor,
        "image": image,
        "kernel": kernel,
        "ramdisk": ramdisk,
        "key": key,
        "user_data": text_of(user_data, "--user-data") if user_data is not None else "",
        "node": node,
        "host": host,
        "zone": zone,
        "proof_of_life": proof or [],
        "wipe": wipe,
    }
    instance = client.post("/v1/instances", order, idempotency_key)
    if wait:
        instance = wait_for_instance(
            client, output, instance["id"], ("active", "error", "deleted"), timeout_s
        )
        _tell_end(output, instance)
    else:
        output.record(instance, DETAILS)


@app.command()
def place(
    context: typer.Context,
    image: Annotated[str, typer.Option(help="What it is made of.")],
    flavor: Annotated[str, typer.Option(help="What it needs.")] = "baremetal.small",
    node: Annotated[str | None, typer.Option(help="This node and no other.")] = None,
    host: Annotated[str | None, typer.Option(help="Nodes of this compute host alone.")] = None,
    zone: Annotated[str, typer.Option(help="Nodes of this zone alone.")] = "",
    as_json: Json = False,
) -> None:
    """Tell which node an instance would get, and why not the others. Nothing is asked for."""
    client, output = client_and_output(context, as_json)
    order = {"flavor": flavor, "image": image, "node": node, "host": host, "zone": zone}
    found = client.ask("/v1/placement", order)
    if as_json:
        output.json(found)
        return
    if found["refused"]:
        output.table(found["refused"], {"node": "not node", "why": "because"})
        if (more := found["refused_nodes"] - len(found["refused"])) > 0:
            output.say(f"and {more} more")
    if found["node"]:
        output.say(f"It would get node [bold]{found['node']}[/].")
    else:
        # Who doesn't oversee the nodes has this alone.
        output.say(escape(f"It would get no node: {found['why']}."))


def _tell_end(output: Output, instance: dict[str, Any]) -> None:
    if output.as_json:
        output.json(instance)
    if instance["state"] == "error":
        raise CliError("\n".join(_failure(instance)), ENDED_IN_ERROR)
    if instance["state"] == "deleted":
        raise CliError(f"{instance['name']} was deleted, and will not be active: ask for another.", CONFLICT)
    if not output.as_json:
        where = f" at {instance['address']}" if instance["address"] else ""
        took_s = seconds_between(instance["created_at"], instance["updated_at"])
        state = cell("state", instance["state"])
        output.say(f"[bold]{instance['name']}[/] is {state}{where}, {took_s:.1f} s after it was asked for")


def _failure(instance: dict[str, Any]) -> list[str]:
    """What went wrong, and what is known of why."""
    failure = instance["failure"] or {"message": "no cause is known"}
    step = f" in step {failure['step']}" if failure.get("step") else ""
    told = [f"{instance['name']} failed{step}: {failure['message']}"]
    for field, words in (("last_proven", "Last proven"), ("likely_cause", "Likely cause")):
        # The message may hold it already.
        if failure.get(field) and failure[field] not in failure["message"]:
            told.append(f"{words}: {failure[field]}")
    return told


@app.command("list")
def list_instances(
    context: typer.Context,
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List the instances."""
    client, output = client_and_output(context, as_json)
    rows, columns = by_name(client.all("/v1/instances", deleted=deleted)), dict(COLUMNS)
    if not any(row["waiting_for"] for row in rows):
        del columns["waiting_for"]
    # An active one runs, unless something else is told.
    if all(row["power"] in (None, "running") for row in rows):
        del columns["power"]
    output.table(rows, columns, SPARE)


@app.command()
def show(
    context: typer.Context,
    instance: NameOrId,
    all_events: Annotated[bool, typer.Option("--events", help="Every event, not only the steps.")] = False,
    as_json: Json = False,
) -> None:
    """Show an instance and the timeline of its steps."""
    client, output = client_and_output(context, as_json)
    found = client.get(path_of("instances", instance))
    events = list(client.all(path_of("instances", found["id"], "timeline")))
    if as_json:
        output.json({**found, "timeline": events})
        return
    output.record(found, DETAILS)
    now = datetime.now(UTC).isoformat()
    progress = (found["work"] or {}).get("progress")
    output.console.print()
    output.console.print(timeline_of(events) if all_events else table_of(rows_of(events), now, progress))


@app.command()
def wait(
    context: typer.Context, instance: NameOrId, timeout_s: Timeout = TIMEOUT_S, as_json: Json = False
) -> None:
    """Wait until an instance is active, and show how it goes."""
    client, output = client_and_output(context, as_json)
    _tell_end(output, wait_for_instance(client, output, instance, ("active", "error", "deleted"), timeout_s))


@app.command()
def console(
    context: typer.Context, instance: NameOrId, follow: Follow = False, as_json: Json = False
) -> None:
    """Show what the machine's serial console said."""
    client, output = client_and_output(context, as_json)
    show_console(client, output, path_of("instances", instance, "console"), follow)


@app.command()
def stop(
    context: typer.Context,
    instance: NameOrId,
    force: Annotated[
        bool, typer.Option("--force", help="By its power at once; its operating system isn't asked.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Stop an instance's machine. It stays its own, and is started again by `instance start`."""
    _switch(context, instance, {"change": "stop", "force": force}, "stopped", idempotency_key, as_json)


@app.command()
def start(
    context: typer.Context, instance: NameOrId, idempotency_key: IdempotencyKey = None, as_json: Json = False
) -> None:
    """Start an instance's machine that was stopped."""
    _switch(context, instance, {"change": "start"}, "started", idempotency_key, as_json)


@app.command()
def reboot(
    context: typer.Context, instance: NameOrId, idempotency_key: IdempotencyKey = None, as_json: Json = False
) -> None:
    """Restart an instance's machine by its power."""
    _switch(context, instance, {"change": "reboot"}, "restarted", idempotency_key, as_json)


def _switch(
    context: typer.Context, instance: str, wish: dict[str, Any], done: str, key: str | None, as_json: bool
) -> None:
    client, output = client_and_output(context, as_json)
    power_changed(client, path_of("instances", instance), wish, f"{wish['change']} of {instance}", key)
    if as_json:
        output.json(client.get(path_of("instances", instance)))
    else:
        output.say(f"{instance}: {done}")


@app.command()
def delete(
    context: typer.Context,
    instance: NameOrId,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it is switched off and gone; its node is wiped after that.")
    ] = False,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Give a machine back: it is switched off, and the instance is gone; then the machine is wiped, and
    offered again. Operators see the wipe and its proof by `node events`."""
    client, output = client_and_output(context, as_json)
    seen = 0
    if wait:
        # What it went through until now was shown when it did.
        happened = client.all(path_of("instances", instance, "timeline"))
        seen = max((event["id"] for event in happened), default=0)
    found: dict[str, Any] = client.delete(path_of("instances", instance)) or {}
    if wait:
        found = wait_for_instance(client, output, found["id"], ("deleted",), timeout_s, after=seen)
    output.tell(found, f"{instance}: {found['state']}")
