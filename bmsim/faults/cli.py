"""The commands `bmsim fault …`: what there is in the catalogue."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from bmsim.faults.catalogue import CATALOGUE, find
from bmsim.faults.fault import STRUCK, BadFault
from bmsim.faults.reference import as_data, values, where
from bmsim.rack.errors import RackError

fault_app = typer.Typer(help="Faults: what can be made to go wrong.", no_args_is_help=True)
out = Console(highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@fault_app.command("ls")
def list_faults(
    family: Annotated[str | None, typer.Argument(help="Only of this family, as bmc or net.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the faults; `bmsim rack fault` injects those that are the rack's."""
    families = list(dict.fromkeys(fault.family for fault in CATALOGUE.values()))
    if family not in (None, *families):
        raise RackError(f"there is no family {family}; there are: {', '.join(families)}", code=3)
    found = [fault for fault in CATALOGUE.values() if family in (None, fault.family)]
    if as_json:
        out.print_json(data=[as_data(fault) for fault in found])
        return
    for fault in found:
        out.print(f"[bold]{fault.name}[/]  {fault.what} [dim]({where(fault)})[/]", soft_wrap=True)


@fault_app.command()
def show(
    name: Annotated[str, typer.Argument(help="The fault, as node.dead_nic or bmc.silent.")],
    as_json: AsJson = False,
) -> None:
    """Show one fault: its parameters, how it heals, where it was seen."""
    try:
        fault = find(name)
    except BadFault as error:
        raise RackError(str(error), code=3) from error
    if as_json:
        out.print_json(data=as_data(fault))
        return
    out.print(f"[bold]{fault.name}[/]  {fault.what}", soft_wrap=True)
    out.print(f"heals {fault.heals}", soft_wrap=True)
    out.print(f"strikes {STRUCK[fault.strikes]}; fidelities: {where(fault)}", soft_wrap=True)
    for parameter in fault.parameters:
        given = f"{parameter.name}={json.dumps(parameter.default)}"
        out.print(f"    {given}  {parameter.meaning} ({values(parameter)})", soft_wrap=True, markup=False)
    out.print(f"seen: {fault.source}", soft_wrap=True, markup=False)
