"""The command `bmsim`."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from bmsim import audit
from bmsim.backends.accelerator import accelerator
from bmsim.faults.cli import fault_app
from bmsim.rack import console as consoles
from bmsim.rack import faults
from bmsim.rack.errors import GONE, RackError
from bmsim.rack.inventory import inventory as inventory_of
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState, all_racks, find_rack, racks_folder
from bmsim.rack.yaml_source import load
from bmsim.rack.yaml_source import value as value_of
from bmsim.sandbox import launch
from bmsim.sandbox.control import order, order_pdu
from bmsim.sandbox.enter import run_on_host

app = typer.Typer(
    help="A rack in a box: emulated machines, BMCs and wires.",
    no_args_is_help=True,
    # A traceback with local variables would show passwords.
    pretty_exceptions_show_locals=False,
)
rack_app = typer.Typer(
    help="Racks: bring up, look around, break, take down.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong use or file, 3 no such thing, 4 the rack's condition forbids it.",
    no_args_is_help=True,
)
app.add_typer(rack_app, name="rack")
app.add_typer(fault_app, name="fault")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

RackName = Annotated[str | None, typer.Argument(help="The rack; not needed while there is only one.")]
RackOption = Annotated[
    str | None, typer.Option("--rack", "-r", help="The rack; not needed while there is only one.")
]
Racks = Annotated[
    Path,
    typer.Option(
        "--state",
        help="The folder where racks keep their state; or by BMSIM_STATE.",
        default_factory=racks_folder,
        show_default=False,
    ),
]
NodeName = Annotated[str, typer.Argument(help="The node.")]
Target = Annotated[str, typer.Argument(metavar="NODE|HOST", help="The node or compute host that it strikes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Follow = Annotated[
    bool,
    typer.Option("--follow/--no-follow", "-f", help="Go on as more comes, for as long as the rack is up."),
]


@rack_app.command()
def up(
    file: Annotated[Path, typer.Argument(help="The rack file.")],
    racks: Racks,
    name: Annotated[str | None, typer.Option(help="Another name than the file's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a rack up: its machines are defined and off, its BMCs answer."""
    rack = load(file, Rack)
    if name is not None:
        rack = rack.renamed(name)
    begun = time.monotonic()
    progress = Console(stderr=True, highlight=False, quiet=as_json)
    with progress.status("finding out whether KVM works here"):
        chosen = accelerator()
    with progress.status(f"bringing up rack {rack.name}"):
        state = launch.up(rack, chosen, racks)
    took_s = time.monotonic() - begun
    if as_json:
        out.print_json(data={"name": rack.name, "state": str(state.folder), "kvm": chosen.kvm})
        return
    out.print(f"rack [bold]{rack.name}[/] is up in {took_s:.1f} s, on {chosen}", soft_wrap=True)
    _print_nodes(rack, order(state, "status")["running"])


@rack_app.command()
def down(racks: Racks, name: RackName = None, rack: RackOption = None, as_json: AsJson = False) -> None:
    """Take a rack down; nothing of it remains. Also cleans up after one that died."""
    state = find_rack(racks, name or rack)
    launch.down(state)
    if as_json:
        out.print_json(data={"name": state.name})
    else:
        out.print(f"rack [bold]{state.name}[/] is gone")


@rack_app.command("ls")
def list_racks(racks: Racks, as_json: AsJson = False) -> None:
    """List the racks."""
    rows = []
    for state in all_racks(racks):
        try:
            rows.append(_summary(state))
        except RackError as error:
            if error.code != GONE:  # it was taken down while we looked
                _complain(str(error))
    if as_json:
        out.print_json(data=rows)
        return
    if not rows:
        out.print(f"no racks in {escape(str(racks))}; start one by: bmsim rack up FILE", soft_wrap=True)
        if os.geteuid() != 0:
            out.print("(racks are root's: sudo bmsim rack ls)")
        return
    table = Table("rack", "", "nodes", "compute hosts", "state folder", box=None)
    for row in rows:
        condition = "[green]up[/]" if row["up"] else "[red]dead[/]"
        table.add_row(
            row["name"], condition, str(row["nodes"]), ", ".join(row["compute_hosts"]), escape(row["state"])
        )
    _print_whole(table)


def _summary(state: RackState) -> dict[str, Any]:
    rack = state.rack()
    return {
        "name": state.name,
        "up": state.is_up(),
        "nodes": len(rack.nodes),
        "compute_hosts": [host.name for host in rack.compute_hosts],
        "state": str(state.folder),
    }


@rack_app.command()
def show(racks: Racks, name: RackName = None, rack: RackOption = None, as_json: AsJson = False) -> None:
    """Show a rack's machines and addresses, without passwords."""
    state = find_rack(racks, name or rack)
    spec = state.rack()
    running = order(state, "status")["running"] if state.is_up() else None
    if as_json:
        data = {**spec.model_dump(mode="json"), "up": running is not None, "running": running or {}}
        out.print_json(data=data)
        return
    if running is None:
        out.print(f"[red]rack {state.name} is dead[/]; clean up by: bmsim rack down {state.name}")
    for host in spec.compute_hosts:
        addresses = f"{host.provisioning_address} (prov0), {host.management_address} (mgmt0)"
        out.print(f"compute host {host.name}: {addresses}")
    _print_nodes(spec, running or {})


def _print_nodes(rack: Rack, running: dict[str, bool]) -> None:
    table = Table("node", "power", "firmware", "CPUs", "memory", "disks", "MAC", "BMC", "outlets", box=None)
    for node in rack.nodes:
        table.add_row(
            node.name,
            "[green]on[/]" if running.get(node.name) else "off",
            node.firmware,
            str(node.vcpus),
            f"{node.memory_mib} MiB",
            ", ".join(f"{disk.size_mib} MiB" for disk in node.disks),
            ", ".join(nic.mac for nic in node.nics),
            str(node.bmc.address) if node.bmc is not None else "",
            ", ".join(f"{feed.pdu}/{feed.outlet}" for feed in node.outlets),
        )
    _print_whole(table)


def _print_whole(table: Table) -> None:
    """Wider than the terminal if need be: paths and addresses are there to be copied."""
    endless = out.options.update(max_width=1000)
    Console(width=Measurement.get(out, endless, table).maximum).print(table)


@rack_app.command()
def inventory(racks: Racks, name: RackName = None, rack: RackOption = None, as_json: AsJson = False) -> None:
    """Print the rack as a provisioner's node file, BMC passwords included."""
    data = inventory_of(find_rack(racks, name or rack).rack())
    sys.stdout.write(json.dumps(data, indent=2) + "\n" if as_json else yaml.safe_dump(data, sort_keys=False))


@rack_app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    host: Annotated[str, typer.Argument(help="The compute host.")],
    command: Annotated[list[str], typer.Argument(help="What to run, after --.")],
    racks: Racks,
    rack: RackOption = None,
) -> None:
    """Run a command on a compute host of the rack; it ends with the rack."""
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise RackError("nothing to run: give a command after --", code=2)
    raise typer.Exit(run_on_host(find_rack(racks, rack), host, words))


@rack_app.command()
def console(node: NodeName, racks: Racks, rack: RackOption = None, watch: Follow = True) -> None:
    """Show a machine's serial console; on a terminal, type into it (Ctrl-] leaves)."""
    state = find_rack(racks, rack)
    if state.rack().node(node) is None:
        raise RackError(f"rack {state.name} has no node {node}", code=3)
    text = state.console_log(node)
    if not watch:
        consoles.show(text)
    elif sys.stdin.isatty():
        consoles.attach(text, state.console_socket(node), state.is_up)
    else:
        consoles.follow(text, state.is_up)


@rack_app.command()
def fault(
    target: Target,
    name: Annotated[str, typer.Argument(help="The fault, as node.dead_nic or bmc.silent.")],
    racks: Racks,
    parameters: Annotated[list[str] | None, typer.Argument(help="key=value …, values as YAML.")] = None,
    rack: RackOption = None,
) -> None:
    """Break something (`bmsim fault ls` lists what)."""
    given = {}
    for word in parameters or []:
        key, equals, value = word.partition("=")
        if not equals:
            raise RackError(f"{word!r} is not key=value", code=2)
        given[key] = value_of(value)
    faults.inject(find_rack(racks, rack), target, name, given)


@rack_app.command()
def heal(
    target: Target,
    racks: Racks,
    name: Annotated[str | None, typer.Argument(help="The fault; all of the target's if not given.")] = None,
    rack: RackOption = None,
) -> None:
    """Mend what was broken."""
    faults.heal(find_rack(racks, rack), target, name)


@rack_app.command()
def pdu(
    name: Annotated[str, typer.Argument(metavar="PDU", help="The PDU.")],
    racks: Racks,
    what: Annotated[
        list[str] | None, typer.Argument(metavar="[on|off|reboot OUTLET] [mains on|off]", help="By hand.")
    ] = None,
    rack: RackOption = None,
    as_json: AsJson = False,
) -> None:
    """Show a PDU's outlets; switch one by hand, or take its mains away and give them back."""
    state = find_rack(racks, rack)
    match what or []:
        case []:
            _print_outlets(order_pdu(state, name, "show"), as_json)
        case [("on" | "off" | "reboot") as verb, outlet] if outlet.isdigit():
            order_pdu(state, name, "order", outlet=int(outlet), order=verb)
        case ["mains", ("on" | "off") as turn]:
            order_pdu(state, name, "mains", on=turn == "on")
        case words:
            told = f"{' '.join(words)!r} is neither on, off or reboot with an outlet, nor mains on or off"
            raise RackError(told, code=2)


def _print_outlets(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out.print_json(data=shown)
        return
    table = Table("outlet", "says it is", "feeds", "mA", "node", box=None)
    for one in shown["outlets"]:
        feeds = "yes" if one["fed"] else "no"
        table.add_row(str(one["outlet"]), one["state"], feeds, str(one["milliamps"]), one["node"])
    out.print(f"mains are {'on' if shown['mains'] else '[red]off[/]'}")
    _print_whole(table)


@rack_app.command()
def log(
    racks: Racks,
    rack: RackOption = None,
    watch: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Show what the rack's devices received, and which faults struck them."""
    state = find_rack(racks, rack)
    path = state.audit_file
    for entry in audit.follow(path, state.is_up) if watch else audit.read(path):
        sys.stdout.write((entry.to_json() if as_json else entry.to_line()) + "\n")
        sys.stdout.flush()


def _add_others() -> None:
    """Commands of what stands above bmsim and is installed beside it: groups of Typer, by their names.
    Not looked up for bmsim's own, which needn't wait for them."""
    if sys.argv[1:2] and sys.argv[1] in (group.name for group in app.registered_groups):
        return
    for other in entry_points(group="bmsim.commands"):
        app.add_typer(other.load(), name=other.name)


def main() -> None:
    """Entry point: errors are one paragraph, exit codes mean something (see RackError)."""
    try:
        _add_others()
        app()
    except RackError as error:
        _complain(str(error))
        sys.exit(error.code)
    except PermissionError as error:
        _complain(f"{error}; racks are for root alone: run it with sudo")
        sys.exit(1)
    except OSError as error:  # a full disk, no file descriptors left
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(told: str) -> None:
    err.print(f"[red]bmsim:[/] {escape(told)}", soft_wrap=True)
