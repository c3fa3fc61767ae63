"""provisioner secrets …: on the system where the key file is, with or without a provisioner that runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from provisioner.cli.exits import CONFLICT, NOT_FOUND, USAGE, CliError
from provisioner.cli.options import DEFAULT_CONFIG, Json, settings_of
from provisioner.cli.output import Output
from provisioner.core.errors import Conflict, NotFound

if TYPE_CHECKING:
    from provisioner.protocols.store import Store
    from provisioner.services.key_file import KeyFile
    from provisioner.services.secret_box import SecretBox

T = TypeVar("T")

app = typer.Typer(help="Keys that stored secrets are encrypted with.", no_args_is_help=True)

Config = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", envvar="PROVISIONER_CONFIG")
]


@app.command("status")
def status(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Tell the keys, and how many secrets each has sealed."""
    from provisioner.app.secret_keys import key_uses

    uses = _with(config, lambda store, box, file: key_uses(store, box))
    rows = [{"key": use.id, "seals": use.seals, "secrets": use.sealed} for use in uses.keys]
    rows += [{"key": "none of these", "seals": False, "secrets": uses.unopened}] if uses.unopened else []
    Output(as_json).table(rows, {"key": "key", "seals": "seals", "secrets": "secrets"})


@app.command("add-key")
def add_key(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Add a key that opens and doesn't seal yet, to be brought to all hosts before `rotate --to` it."""
    from provisioner.app import secret_keys

    async def add(store: Store, box: SecretBox, file: KeyFile | None) -> str:
        async def work() -> str:
            return secret_keys.add_key(_needed(file))

        return await secret_keys.audited(store, "secrets add-key", work, str)

    Output(as_json).record({"key": _with(config, add)}, ("key",))


@app.command("rotate")
def rotate(
    config: Config = DEFAULT_CONFIG,
    to: Annotated[str | None, typer.Option(help="Id of a key that is there; by default a new one.")] = None,
    as_json: Json = False,
) -> None:
    """Encrypt all secrets with a new key; the old ones still open. An interrupted one is ended first."""
    from provisioner.app import secret_keys

    async def work(store: Store, box: SecretBox, file: KeyFile | None) -> int:
        if to is not None:
            _needed(file)

        def rotating() -> Awaitable[int]:
            return secret_keys.rotate(store, box, file, to)

        return await secret_keys.audited(store, "secrets rotate", rotating, lambda done: box.key_ids[0])

    done = _with(config, work)
    Output(as_json).record({"sealed_anew": done}, ("sealed_anew",))


@app.command("retire")
def retire(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Remove the keys that nothing is encrypted with any more."""
    from provisioner.app import secret_keys

    async def work(store: Store, box: SecretBox, file: KeyFile | None) -> list[str]:
        def retiring() -> Awaitable[list[str]]:
            return secret_keys.retire(store, box, _needed(file))

        return await secret_keys.audited(store, "secrets retire", retiring, " ".join)

    gone = _with(config, work)
    Output(as_json).record({"retired": gone}, ("retired",))


def _needed(file: KeyFile | None) -> KeyFile:
    if file is None:
        raise CliError("The keys come from PROVISIONER_SECRET_KEYS: change them there.", USAGE)
    return file


def _with(config: Path, work: Callable[[Store, SecretBox, KeyFile | None], Awaitable[T]]) -> T:
    import asyncio
    import os

    from provisioner.app.secret_keys import KEYS_VARIABLE, secret_box
    from provisioner.services.key_file import KeyFile
    from provisioner.store import open_store

    settings = settings_of(config)
    file = None if os.environ.get(KEYS_VARIABLE, "").split() else KeyFile(settings.secret_key)
    # What runs would take a new one up, and drop the keys that it has.
    box = secret_box(settings, make=False)

    async def run() -> T:
        store = open_store(settings.database_url, password=settings.database_password())
        try:
            return await work(store, box, file)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except NotFound as error:
        raise CliError(error.message, NOT_FOUND) from error
    except Conflict as error:
        raise CliError(error.message, CONFLICT) from error
