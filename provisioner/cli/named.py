"""Commands that are alike for all things with names: to list them, and to remove one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.markup import escape

from provisioner.cli.client import path_of
from provisioner.cli.options import Json, client_and_output, name_or_id
from provisioner.cli.output import by_name

Name = Annotated[str, typer.Argument(help="Its name.", callback=name_or_id)]


def add_list(app: typer.Typer, what: str, path: str, columns: Mapping[str, str]) -> None:
    """`list`: all that there are. columns: field → heading"""

    @app.command("list", help=f"List the {what}.")
    def list_all(context: typer.Context, as_json: Json = False) -> None:
        client, output = client_and_output(context, as_json)
        output.table(by_name(client.all(path)), columns)


def add_delete(app: typer.Typer, kind: str, told: str) -> None:
    """`delete NAME`. kind: as in its path. told: what it does"""

    @app.command("delete", help=told)
    def delete(context: typer.Context, name: Name, as_json: Json = False) -> None:
        client, output = client_and_output(context, as_json)
        client.delete(path_of(kind, name))
        output.tell({"deleted": name}, escape(f"{name}: deleted"))
