"""provisioner audit …"""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from provisioner.cli.options import Json, client_and_output

app = typer.Typer(help="Who did what.", no_args_is_help=True)

COLUMNS = {
    "at": "time",
    "tenant": "tenant",
    "user": "user",
    "credential": "by token or key",
    "address": "from",
    "operation": "operation",
    "target": "target",
    "outcome": "outcome",
    "request_id": "request",
}
SPARE = ("request_id", "address", "credential", "tenant")


@app.command("list")
def list_records(
    context: typer.Context,
    last: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 100,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user only.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="`done`, `refused`, `unproven`, or `failed:` and a code.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what was changed, what wasn't, and what was refused; the newest last."""
    client, output = client_and_output(context, as_json)
    wanted = {"tenant": tenant, "user": user, "outcome": outcome}
    found = client.all("/v1/audit", **{name: value for name, value in wanted.items() if value is not None})
    output.table(reversed(list(islice(found, last))), COLUMNS, SPARE)
