"""provisioner tenant …, user …, token …"""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.cli.client import path_of
from provisioner.cli.named import Name, add_delete, add_list
from provisioner.cli.options import IdempotencyKey, Json, client_and_output
from provisioner.core.roles import Role

tenants = typer.Typer(help="Tenants: who shares what is theirs.", no_args_is_help=True)
users = typer.Typer(help="Users of tenants, each with a role.", no_args_is_help=True)
tokens = typer.Typer(help="API tokens.", no_args_is_help=True)

TENANT = {"name": "tenant", "account": "account", "created_at": "since"}
USER = {"name": "user", "tenant": "tenant", "role": "role", "created_at": "since"}
TOKEN = {"name": "token", "user": "user", "role": "role", "id": "hash", "created_at": "since"}

Of = Annotated[str | None, typer.Option(help="Of this one only.")]


@tenants.command("create")
def create_tenant(
    context: typer.Context, name: Name, idempotency_key: IdempotencyKey = None, as_json: Json = False
) -> None:
    """Make a tenant."""
    client, output = client_and_output(context, as_json)
    output.record(client.post("/v1/tenants", {"name": name}, idempotency_key), tuple(TENANT))


@users.command("create")
def create_user(
    context: typer.Context,
    name: Name,
    tenant: Annotated[str, typer.Option(help="Whose.")] = "default",
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.MEMBER,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Make a user; `token create` gives it a token."""
    client, output = client_and_output(context, as_json)
    made = client.post("/v1/users", {"name": name, "tenant": tenant, "role": role}, idempotency_key)
    output.record(made, tuple(USER))


@users.command("list")
def list_users(context: typer.Context, tenant: Of = None, as_json: Json = False) -> None:
    """List the users."""
    client, output = client_and_output(context, as_json)
    output.table(client.all("/v1/users", **({"tenant": tenant} if tenant else {})), USER)


@users.command("set-role")
def set_role(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Argument(help="What it may do from now on.")],
    as_json: Json = False,
) -> None:
    """Give a user another role; its tokens have no more than that."""
    client, output = client_and_output(context, as_json)
    output.record(client.put(path_of("users", name), {"role": role}), tuple(USER))


@tokens.command("create")
def create_token(
    context: typer.Context,
    name: Name,
    user: Annotated[str | None, typer.Option(help="Whose; by default whoever asks.")] = None,
    role: Annotated[Role | None, typer.Option(help="Bounds what it may do further than its user's.")] = None,
    as_json: Json = False,
) -> None:
    """Make an API token. It is shown now, and never again."""
    client, output = client_and_output(context, as_json)
    made = client.post_for_secret(
        "/v1/tokens",
        {"name": name, "user": user, "role": role},
        "If `provisioner token list` has it, delete it, and make it anew: it is told once only.",
    )
    output.record(made, ("name", "user", "role", "token"))


@tokens.command("list")
def list_tokens(context: typer.Context, user: Of = None, as_json: Json = False) -> None:
    """List the API tokens by the beginning of their hashes."""
    client, output = client_and_output(context, as_json)
    output.table(client.get("/v1/tokens", **({"user": user} if user else {}))["items"], TOKEN)


add_list(tenants, "tenants", "/v1/tenants", TENANT)
add_delete(tenants, "tenants", "Remove a tenant that has nothing any more.")
add_delete(users, "users", "Remove a user, with its tokens and access keys.")
add_delete(tokens, "tokens", "Revoke an API token.")
