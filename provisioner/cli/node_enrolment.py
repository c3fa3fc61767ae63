"""provisioner node enroll, power-device, verify: nodes of a file, and the check of their power devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provisioner.cli.client import Client, new_key, path_of
from provisioner.cli.exits import FAILED, UNREACHABLE, USAGE, CliError
from provisioner.cli.node_tables import tell_nodes
from provisioner.cli.options import IdempotencyKey, Json, NameOrId, WaitForEnd, client_and_output
from provisioner.cli.output import Output
from provisioner.cli.repeating import Unanswered
from provisioner.cli.watching import wait_until

if TYPE_CHECKING:
    from provisioner.config.node_file import NodeEntry

ENROL_TIMEOUT_S = 60.0


def enroll(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-f", help="The node file.")],
    wait: WaitForEnd = False,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Enrol the nodes of a file. Their power devices are checked at once."""
    from provisioner.config.node_file import NodeFile
    from provisioner.config.source import load

    client, output = client_and_output(context, as_json)
    made, refused = [], list[CliError]()
    key = idempotency_key or new_key()
    for entry in load(file, NodeFile).nodes:
        try:
            made.append(client.post("/v1/nodes", _body(entry), key, part=entry.name))
        except CliError as error:
            if isinstance(error, Unanswered) or error.code == UNREACHABLE:
                raise
            refused.append(CliError(f"{entry.name}: {error}", error.code))
    if wait:
        made = [_checked(client, node["id"]) for node in made]
    if made or not refused or as_json:
        tell_nodes(output, made)
    refused += [
        CliError(f"{node['name']}: {node['failure']['message']}")
        for node in made
        if node["state"] == "enrol_failed"
    ]
    if refused:
        raise CliError("\n".join(map(str, refused)), refused[0].code)


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


def power_device(
    context: typer.Context,
    node: NameOrId,
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
        output.tell(
            found, f"{node}: {found['state']}; `provisioner node power {name} status` asks the device"
        )
        return
    _tell_check(output, node, _checked(client, node))


def verify(
    context: typer.Context, node: NameOrId, idempotency_key: IdempotencyKey = None, as_json: Json = False
) -> None:
    """Check a node's power device again."""
    client, output = client_and_output(context, as_json)
    client.post(path_of("nodes", node, "verify"), {}, idempotency_key)
    _tell_check(output, node, _checked(client, node))


def _tell_check(output: Output, node: str, found: dict[str, Any]) -> None:
    if found["state"] == "enrol_failed":
        raise CliError(found["failure"]["message"], FAILED)
    output.tell(found, f"{node}: {found['state']}")
