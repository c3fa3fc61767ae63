"""The commands, put together."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from provisioner.cli import (
    access_keys,
    audit,
    catalog,
    hosts,
    images,
    instances,
    nodes,
    secrets,
    tenants,
    tls,
)
from provisioner.cli.exits import CliError, of_error
from provisioner.cli.options import DEFAULT_CONFIG, Json, Shared, settings_of
from provisioner.cli.output import Output
from provisioner.cli.ready import ready
from provisioner.core.errors import ProvisionerError


class Kernel(StrEnum):
    hardware = "hardware"
    cloud = "cloud"


app = typer.Typer(
    help="A bare-metal provisioner: request in, running machine out.",
    no_args_is_help=True,
    # Typer's own tracebacks may show local variables: a token is one.
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)
db_app = typer.Typer(help="The database.", no_args_is_help=True)
ramdisk_app = typer.Typer(help="The deploy ramdisk.", no_args_is_help=True)
for name, group in (
    ("node", nodes.app),
    ("image", images.app),
    ("instance", instances.app),
    ("flavor", catalog.flavors),
    ("key", catalog.keys),
    ("host", hosts.app),
    ("tenant", tenants.tenants),
    ("user", tenants.users),
    ("token", tenants.tokens),
    ("access-key", access_keys.app),
    ("audit", audit.app),
    ("tls", tls.app),
    ("secrets", secrets.app),
    ("config", config_app),
    ("db", db_app),
    ("ramdisk", ramdisk_app),
):
    app.add_typer(group, name=name)

Config = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", envvar="PROVISIONER_CONFIG")
]


@app.callback()
def shared(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="The API: http(s)://host:port or unix:/path.", envvar="PROVISIONER_URL")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Where the API token is.", envvar="PROVISIONER_TOKEN_FILE")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="The authority of an https URL's certificate.", envvar="PROVISIONER_CA_FILE"),
    ] = None,
) -> None:
    context.obj = Shared(url, token_file, ca_file)


@app.command()
def serve(config: Config = DEFAULT_CONFIG) -> None:
    """Run everything in one process: API, scheduler, compute host."""
    _serve(config, "api", "compute")


@app.command()
def api(config: Config = DEFAULT_CONFIG) -> None:
    """Run the API and the scheduler."""
    _serve(config, "api")


@app.command()
def compute(config: Config = DEFAULT_CONFIG) -> None:
    """Run a compute host."""
    _serve(config, "compute")


def _serve(config: Path, *roles: str) -> None:
    # Here as in other commands, what only one of them needs is imported by it alone: a third of the time that
    # the others take to start.
    import asyncio

    from provisioner.app import serve

    asyncio.run(serve(settings_of(config), frozenset(roles)))


app.command()(ready)


@config_app.command("check")
def check_config(
    file: Annotated[
        Path, typer.Argument(help="The configuration file.", envvar="PROVISIONER_CONFIG")
    ] = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Say whether a configuration can be used, and what it comes to."""
    Output(as_json).json(settings_of(file).model_dump(mode="json"))


@db_app.command("upgrade")
def upgrade_database(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Bring the database's schema up to this version; at once if it is. SQLite does so at each start."""
    from provisioner.store import upgrade_store

    settings = settings_of(config)
    before, after = upgrade_store(settings.database_url, settings.database_password())
    Output(as_json).record({"before": before, "after": after}, ("before", "after"))


@ramdisk_app.command("build")
def build_ramdisk(
    arch: Annotated[str, typer.Option(help="Debian's name of the architecture.")] = "amd64",
    kernel: Annotated[
        Kernel, typer.Option(help="cloud: for virtual machines alone, where it boots faster.")
    ] = Kernel.hardware,
    cache: Annotated[Path | None, typer.Option(help="Where built ramdisks are kept.")] = None,
    as_json: Json = False,
) -> None:
    """Build the deploy ramdisk from Debian packages; at once if nothing of it has changed."""
    from provisioner.ramdisk import RamdiskError, build, default_cache

    output = Output(as_json)
    try:
        built = build(
            arch, cache or default_cache(), lambda text: output.errors.print(text), kernel=kernel.value
        )
    except RamdiskError as error:
        raise CliError(str(error)) from error
    found = {"kernel": str(built.kernel), "ramdisk": str(built.initrd), "digest": built.digest}
    output.record(found, tuple(found))


@app.command()
def openapi() -> None:
    """Print the API's description (OpenAPI, JSON)."""
    from provisioner.api.application import describe

    sys.stdout.write(json.dumps(describe(), indent=2) + "\n")


def main() -> None:
    """Entry point. Errors are one paragraph on standard error; exit codes: docs/cli.md."""
    try:
        app()
    except BaseExceptionGroup as errors:
        _end(*_flat(errors))
    except (ProvisionerError, CliError) as error:
        _end(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _flat(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += _flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _end(*errors: BaseException) -> None:
    known = [of_error(e) if isinstance(e, ProvisionerError) else e for e in errors]
    told = [error for error in known if isinstance(error, CliError)]
    if len(told) < len(known):
        # A defect: everything that helps to find it.
        raise next(error for error in known if not isinstance(error, CliError))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for error in told:
        console.print(f"[red]provisioner:[/] {escape(str(error))}")
    sys.exit(told[0].code)
