"""The command `bmsim`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from bmsim import audit
from bmsim.backends.accelerator import accelerator
from bmsim.rack import faults
from bmsim.rack.console import attach, follow
from bmsim.rack.errors import RackError
from bmsim.rack.inventory import inventory as inventory_of
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState, all_racks, find_rack, racks_folder
from bmsim.rack.yaml_source import load
from bmsim.sandbox.control import order
from bmsim.sandbox.enter import run_on_host
from bmsim.sandbox.launch import down as take_down
from bmsim.sandbox.launch import up as bring_up

app = typer.Typer(help="A rack in a box: emulated machines, BMCs and wires.", no_args_is_help=True)
rack_app = typer.Typer(help="Racks: bring up, look around, break, take down.", no_args_is_help=True)
app.add_typer(rack_app, name="rack")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

RackName = Annotated[str | None, typer.Argument(help="The rack; not needed while there is only one.")]
RackOption = Annotated[
    str | None, typer.Option("--rack", "-r", help="The rack; not needed while there is only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@rack_app.command()
def up(
    file: Annotated[Path, typer.Argument(help="The rack file.")],
    name: Annotated[str | None, typer.Option(help="Another name than the file's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a rack up: its machines are defined and off, its BMCs answer."""
    rack = load(file, Rack)
    if name is not None:
        rack = Rack.model_validate({**rack.model_dump(), "name": name})
    begun = time.monotonic()
    chosen = accelerator(racks_folder().parent / "accelerator.json")
    state = bring_up(rack, chosen)
    if as_json:
        out.print_json(data={"name": rack.name, "state": str(state.folder), "kvm": chosen.kvm})
        return
    out.print(f"rack [bold]{rack.name}[/] is up in {time.monotonic() - begun:.1f} s, on {chosen}")
    _print_nodes(state, rack)


@rack_app.command()
def down(rack: RackName = None) -> None:
    """Take a rack down; nothing of it remains. Also cleans up after one that died."""
    state = find_rack(rack)
    take_down(state)
    out.print(f"rack [bold]{state.name}[/] is gone")


@rack_app.command("ls")
def list_racks(as_json: AsJson = False) -> None:
    """List the racks."""
    rows: list[dict[str, Any]] = []
    for state in all_racks():
        rack = state.rack()
        rows.append(
            {
                "name": state.name,
                "up": state.supervisor() is not None,
                "nodes": len(rack.nodes),
                "compute_hosts": [host.name for host in rack.compute_hosts],
                "state": str(state.folder),
            }
        )
    if as_json:
        out.print_json(data=rows)
        return
    table = Table("rack", "", "nodes", "compute hosts", "state folder")
    for row in rows:
        condition = "[green]up[/]" if row["up"] else "[red]dead[/]"
        table.add_row(
            row["name"], condition, str(row["nodes"]), ", ".join(row["compute_hosts"]), row["state"]
        )
    out.print(table if rows else "no racks; start one by: bmsim rack up FILE")


@rack_app.command()
def show(rack: RackName = None, as_json: AsJson = False) -> None:
    """Show a rack's machines and addresses."""
    state = find_rack(rack)
    spec = state.rack()
    if as_json:
        running = order(state, "status")["running"]
        out.print_json(data={**spec.model_dump(mode="json"), "running": running})
        return
    for host in spec.compute_hosts:
        out.print(
            f"compute host {host.name}: "
            f"{host.provisioning_address} (prov0), {host.management_address} (mgmt0)"
        )
    _print_nodes(state, spec)


def _print_nodes(state: RackState, rack: Rack) -> None:
    running = order(state, "status")["running"]
    table = Table("node", "power", "firmware", "CPUs", "memory", "disks", "MAC", "BMC")
    for node in rack.nodes:
        table.add_row(
            node.name,
            "[green]on[/]" if running[node.name] else "off",
            node.firmware,
            str(node.vcpus),
            f"{node.memory_mib} MiB",
            ", ".join(f"{disk.size_mib} MiB" for disk in node.disks),
            ", ".join(nic.mac for nic in node.nics),
            str(node.bmc.address),
        )
    out.print(table)


@rack_app.command()
def inventory(rack: RackName = None, as_json: AsJson = False) -> None:
    """Print the rack as a provisioner's node file, BMC passwords included."""
    data = inventory_of(find_rack(rack).rack())
    sys.stdout.write(json.dumps(data, indent=2) + "\n" if as_json else yaml.safe_dump(data, sort_keys=False))


@rack_app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    host: Annotated[str, typer.Argument(help="The compute host.")],
    command: Annotated[list[str], typer.Argument(help="What to run, after --.")],
    rack: RackOption = None,
) -> None:
    """Run a command on a compute host of the rack; it ends with the rack."""
    words = command[1:] if command[0] == "--" else command
    raise typer.Exit(run_on_host(find_rack(rack), host, words))


@rack_app.command()
def console(
    node: Annotated[str, typer.Argument(help="The node.")],
    rack: RackOption = None,
    watch: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on as it says more.")] = True,
) -> None:
    """Show a machine's serial console; on a terminal, type into it (Ctrl-] leaves)."""
    state = find_rack(rack)
    if state.rack().node(node) is None:
        raise RackError(f"rack {state.name} has no node {node}", code=3)
    log, socket = state.console_log(node), state.console_socket(node)
    if watch and sys.stdin.isatty() and order(state, "status")["running"][node]:
        attach(log, socket)
    else:
        follow(log, stop_at_end=not watch)


@rack_app.command()
def fault(
    node: Annotated[str, typer.Argument(help="The node.")],
    name: Annotated[str, typer.Argument(help="The fault, as node.dead_nic or bmc.silent.")],
    parameters: Annotated[list[str] | None, typer.Argument(help="key=value …, values as YAML.")] = None,
    rack: RackOption = None,
) -> None:
    """Break something."""
    given = {}
    for word in parameters or []:
        key, equals, value = word.partition("=")
        if not equals:
            raise RackError(f"{word!r} is not key=value", code=2)
        given[key] = yaml.safe_load(value)
    faults.inject(find_rack(rack), node, name, given)


@rack_app.command()
def heal(
    node: Annotated[str, typer.Argument(help="The node.")],
    name: Annotated[str | None, typer.Argument(help="The fault; all of the node's if not given.")] = None,
    rack: RackOption = None,
) -> None:
    """Mend what was broken."""
    faults.heal(find_rack(rack), node, name)


@rack_app.command()
def log(
    rack: RackOption = None,
    watch: Annotated[bool, typer.Option("--follow", help="Go on as more comes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every command that the rack's BMCs received."""
    path = find_rack(rack).audit_file
    for entry in audit.follow(path) if watch else audit.read(path):
        if as_json:
            sys.stdout.write(entry.to_json() + "\n")
        else:
            out.print(entry.to_line())


def main() -> None:
    """Entry point: errors are one paragraph, exit codes mean something (see RackError)."""
    try:
        app()
    except RackError as error:
        err.print(f"[red]bmsim:[/] {error}")
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
