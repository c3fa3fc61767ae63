"""provisioner access-key …"""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.cli.client import path_of
from provisioner.cli.options import Json, client_and_output, name_or_id
from provisioner.core.roles import Role

app = typer.Typer(help="Access keys, for EC2 clients.", no_args_is_help=True)


@app.command("create")
def create(
    context: typer.Context,
    tenant: Annotated[
        str | None, typer.Option(help="Whose it is; made as needed. By default the user's, or `default`.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose it is; it goes with its user.")] = None,
    role: Annotated[Role | None, typer.Option(help="Bounds what it may do further.")] = None,
    export: Annotated[
        bool, typer.Option("--export", help="Print it for a shell, which EC2 clients look in.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an access key. Its secret is shown now, and never again."""
    client, output = client_and_output(context, as_json)
    made = client.post_for_secret(
        "/v1/access-keys",
        {"tenant": tenant, "user": user, "role": role},
        "If `provisioner access-key list` has a new one, delete it: its secret is told once only.",
    )
    if export:
        typer.echo(f"export AWS_ACCESS_KEY_ID={made['id']} AWS_SECRET_ACCESS_KEY={made['secret']}")
        return
    output.record(made, ("id", "secret", "tenant", "user", "role"))


@app.command("list")
def list_keys(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    as_json: Json = False,
) -> None:
    """List the access keys, without their secrets."""
    client, output = client_and_output(context, as_json)
    only = {"tenant": tenant} if tenant else {}
    found = client.get("/v1/access-keys", **only)["items"]
    columns = {"id": "access key", "tenant": "tenant", "user": "user", "role": "role", "created_at": "since"}
    output.table(found, columns)


@app.command("delete")
def delete(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Its id.", callback=name_or_id)],
    as_json: Json = False,
) -> None:
    """Revoke an access key."""
    client, output = client_and_output(context, as_json)
    client.delete(path_of("access-keys", key))
    output.tell({"deleted": key}, f"{key}: deleted")
