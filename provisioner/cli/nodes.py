"""provisioner node …"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provisioner.cli.client import Client, path_of
from provisioner.cli.exits import FAILED, UNREACHABLE, USAGE, CliError
from provisioner.cli.options import Json, client_and_output, name_or_id
from provisioner.cli.output import Output, by_name
from provisioner.cli.steps import timeline_of
from provisioner.cli.watching import wait_until

if TYPE_CHECKING:
    from provisioner.config.node_file import NodeEntry

app = typer.Typer(help="Nodes: the machines.", no_args_is_help=True)

ENROL_TIMEOUT_S = 60.0
POWER_TIMEOUT_S = 300.0
CLEAN_TIMEOUT_S = 3600.0
CONSOLE_TAIL_BYTES = 2**20

Name = Annotated[str, typer.Argument(help="Name or id.", callback=name_or_id)]
Wait = Annotated[bool, typer.Option("--wait", help="Until it has ended.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on as it says more; Ctrl-C ends.")]

COLUMNS = {
    "name": "node",
    "state": "state",
    "power_state": "power",
    "arch": "arch",
    "cpus": "CPUs",
    "memory_mib": "MiB",
    "disk_mib": "disk MiB",
    "instance": "instance",
    "owner": "owner",
    "maintenance_told": "maintenance",
}
SPARE = ("arch", "cpus", "memory_mib", "disk_mib", "owner")
DETAILS = (
    *(
        "name",
        "id",
        "state",
        "power_state",
        "maintenance",
        "maintenance_reason",
        "failure",
        "arch",
        "firmware",
    ),
    *("cpus", "memory_mib", "disk_mib", "ports", "boot_driver", "deploy_driver", "power_driver"),
    *("zone", "rack", "reserved_for", "capabilities", "deploy_failures"),
    *(
        "power_address",
        "power_device_silence",
        "root_device",
        "keep_disks",
        "instance",
        "published",
        "work",
        "owner",
        "fence",
    ),
)


class Wipe(StrEnum):
    quick = "quick"
    full = "full"


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


@app.command()
def enroll(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-f", help="The node file.")],
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Enrol the nodes of a file. Their power devices are checked at once."""
    from provisioner.config.node_file import NodeFile
    from provisioner.config.source import load

    client, output = client_and_output(context, as_json)
    made, refused = [], list[CliError]()
    for entry in load(file, NodeFile).nodes:
        try:
            made.append(client.post("/v1/nodes", _body(entry)))
        except CliError as error:
            if error.code == UNREACHABLE:
                raise
            refused.append(CliError(f"{entry.name}: {error}", error.code))
    if wait:
        made = [_checked(client, node["id"]) for node in made]
    _table(output, made)
    refused += [
        CliError(f"{node['name']}: {node['failure']['message']}")
        for node in made
        if node["state"] == "enrol_failed"
    ]
    if refused:
        raise CliError("\n".join(map(str, refused)), refused[0].code)


def _table(output: Output, nodes: Iterable[dict[str, Any]]) -> None:
    """Maintenance is rare, so it has a column only while there is some."""
    rows = by_name(nodes)
    columns = dict(COLUMNS)
    if output.as_json or not any(node["maintenance"] for node in rows):
        del columns["maintenance_told"]
    else:
        rows = [
            {**node, "maintenance_told": (node["maintenance_reason"] or "yes") if node["maintenance"] else ""}
            for node in rows
        ]
    output.table(rows, columns, SPARE)


def _body(entry: NodeEntry) -> dict[str, Any]:
    body = entry.model_dump(mode="json", exclude={"power"}, exclude_none=True)
    body["power"] = entry.power.written()
    return body


def _checked(client: Client, node: str) -> dict[str, Any]:
    return wait_until(
        lambda: client.get(path_of("nodes", node)),
        lambda found: found["state"] != "enrolling",
        "the check of its power device",
        ENROL_TIMEOUT_S,
    )


@app.command("list")
def list_nodes(context: typer.Context, as_json: Json = False) -> None:
    """List the nodes."""
    client, output = client_and_output(context, as_json)
    _table(output, client.all("/v1/nodes"))


@app.command()
def show(context: typer.Context, node: Name, as_json: Json = False) -> None:
    """Show a node."""
    client, output = client_and_output(context, as_json)
    output.record(client.get(path_of("nodes", node)), DETAILS)


@app.command()
def power(context: typer.Context, node: Name, verb: Verb, as_json: Json = False) -> None:
    """Switch a node's power, or ask how it is."""
    client, output = client_and_output(context, as_json)
    wish = {"verb": "refresh" if verb is Verb.status else verb}
    done = power_changed(client, path_of("nodes", node), wish, f"power {verb} of {node}")
    _tell(output, done, f"{node}: {done['answer']}")


def power_changed(client: Client, of: str, wish: dict[str, Any], what: str) -> dict[str, Any]:
    """What became of an order of power. of: the path of whose power it is. Raises CliError when it failed."""
    order = client.post(f"{of}/power", wish)
    done = wait_until(
        lambda: client.get(f"{of}/requests/{order['id']}"),
        lambda found: found["state"] != "pending",
        what,
        POWER_TIMEOUT_S,
    )
    if done["state"] == "failed":
        raise CliError(f"{what}: {done['answer']}", FAILED)
    return done


@app.command()
def maintenance(
    context: typer.Context,
    node: Name,
    switch: Switch,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: Json = False,
) -> None:
    """Keep a node from being given to instances, or give it back."""
    client, output = client_and_output(context, as_json)
    path = path_of("nodes", node, "maintenance")
    found = client.put(path, {"reason": reason}) if switch is Switch.on else client.delete(path)
    _tell(output, found or {}, f"{node}: maintenance {switch}")


@app.command()
def reserve(
    context: typer.Context,
    node: Name,
    tenant: Annotated[str, typer.Argument(help="The only one that may have it.")],
    as_json: Json = False,
) -> None:
    """Keep a node for one tenant. An instance that has it keeps it."""
    client, output = client_and_output(context, as_json)
    found = client.put(path_of("nodes", node, "reservation"), {"tenant": tenant})
    _tell(output, found, f"{node}: reserved for {tenant}")


@app.command()
def unreserve(context: typer.Context, node: Name, as_json: Json = False) -> None:
    """Let any tenant have a node."""
    client, output = client_and_output(context, as_json)
    found = client.delete(path_of("nodes", node, "reservation"))
    _tell(output, found or {}, f"{node}: reserved for nobody")


@app.command()
def disks(
    context: typer.Context,
    node: Name,
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


@app.command("power-device")
def power_device(
    context: typer.Context,
    node: Name,
    file: Annotated[Path, typer.Option("--file", "-f", help="The node file, with its power as it is now.")],
    as_json: Json = False,
) -> None:
    """Correct how a node is switched, by `power` of its entry. Of one that is available, or whose enrolment
    failed, the device is checked at once."""
    from provisioner.config.node_file import NodeFile
    from provisioner.config.source import load

    entries = {entry.name: entry for entry in load(file, NodeFile).nodes}
    client, output = client_and_output(context, as_json)
    name = node if node in entries else client.get(path_of("nodes", node))["name"]
    if name not in entries:
        raise CliError(f"{file} has no node {name}: name by --file one with its entry", USAGE)
    found = client.put(path_of("nodes", node, "power-device"), entries[name].power.written())
    if found["state"] != "enrolling":
        _tell(
            output, found, f"{node}: {found['state']}; `provisioner node power {name} status` asks the device"
        )
        return
    _tell_check(output, node, _checked(client, node))


@app.command()
def verify(context: typer.Context, node: Name, as_json: Json = False) -> None:
    """Check a node's power device again."""
    client, output = client_and_output(context, as_json)
    client.post(path_of("nodes", node, "verify"), {})
    _tell_check(output, node, _checked(client, node))


def _tell_check(output: Output, node: str, found: dict[str, Any]) -> None:
    if found["state"] == "enrol_failed":
        raise CliError(found["failure"]["message"], FAILED)
    _tell(output, found, f"{node}: {found['state']}")


@app.command()
def clean(
    context: typer.Context,
    node: Name,
    wipe: Annotated[Wipe, typer.Option(help="What is done to its disks.")] = Wipe.quick,
    wait: Wait = False,
    timeout_s: Timeout = CLEAN_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Wipe the disks of a node that is available, and learn what it is made of; or clean one again whose
    cleaning had failed."""
    client, output = client_and_output(context, as_json)
    found = client.post(path_of("nodes", node, "clean"), {"wipe": wipe})
    if wait:
        found = wait_until(
            lambda: client.get(path_of("nodes", node)),
            lambda now: now["state"] not in ("cleaning", "clean_wait"),
            f"the cleaning of {node}",
            timeout_s,
        )
    if found["state"] == "clean_failed":
        raise CliError(found["failure"]["message"], FAILED)
    _tell(output, found, f"{node}: {found['state']}")


@app.command()
def delete(
    context: typer.Context,
    node: Name,
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
    _tell(output, {"deleted": node}, f"{node}: deleted")


@app.command()
def events(context: typer.Context, node: Name, as_json: Json = False) -> None:
    """Show all that happened to a node, by whom it was seen."""
    client, output = client_and_output(context, as_json)
    listed = list(client.all(path_of("nodes", node, "events")))
    if as_json:
        output.json(listed)
    else:
        output.console.print(timeline_of(listed))


@app.command()
def console(context: typer.Context, node: Name, follow: Follow = False, as_json: Json = False) -> None:
    """Show what a node's serial console said while it was worked on."""
    client, output = client_and_output(context, as_json)
    show_console(client, output, path_of("nodes", node, "console"), follow)


def show_console(client: Client, output: Output, path: str, follow: bool) -> None:
    """With `follow`, until it ends or Ctrl-C."""
    if output.as_json:
        output.json({"text": client.text(path, tail_bytes=CONSOLE_TAIL_BYTES)})
    elif not follow:
        sys.stdout.write(client.text(path, tail_bytes=CONSOLE_TAIL_BYTES))
    else:
        for text in client.stream(path, tail_bytes=CONSOLE_TAIL_BYTES, follow=True):
            sys.stdout.write(text)
            sys.stdout.flush()


def _tell(output: Output, data: dict[str, Any], text: str) -> None:
    if output.as_json:
        output.json(data)
    else:
        output.say(text)
