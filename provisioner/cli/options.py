"""Options and arguments that many commands take, and where the provisioner is that they are for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provisioner.cli.client import MAX_KEY_LETTERS, Client
from provisioner.cli.exits import USAGE, CliError
from provisioner.cli.output import Output
from provisioner.core.errors import InvalidInput

if TYPE_CHECKING:
    from provisioner.config.settings import Settings

DEFAULT_CONFIG = Path("/etc/provisioner/provisioner.yaml")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def name_or_id(text: str) -> str:
    """An argument that becomes one part of a path: also quoted, a slash parts it. Raises CliError."""
    if "/" in text:
        raise CliError(
            f"{text!r} is nothing's name or id; what EC2's clients called so goes by its id.", USAGE
        )
    if text in ("", ".", ".."):
        raise CliError(f"{text!r} is nothing's name or id.", USAGE)
    return text


NameOrId = Annotated[str, typer.Argument(help="Name or id.", callback=name_or_id)]


def _key(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(rf"[!-~]{{1,{MAX_KEY_LETTERS}}}", text):
        raise CliError(
            f"--idempotency-key takes 1 to {MAX_KEY_LETTERS} letters, digits and signs, of ASCII.", USAGE
        )
    return text


IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="Repeats an order whose answer was lost: it is carried out once.",
        callback=_key,
    ),
]
WaitForEnd = Annotated[bool, typer.Option("--wait", help="Until it has ended.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.")]


class Wipe(StrEnum):
    quick = "quick"
    full = "full"


@dataclass(slots=True)
class Shared:
    """What the options before the command say."""

    url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None

    def client(self) -> Client:
        """As these options say, else as the configuration of a provisioner on this system does."""
        if self.url and self.token_file:
            return Client(self.url, self.token_file, self.ca_file)
        url, token_file, ca_file = _of_this_system(os.environ.get("PROVISIONER_CONFIG", ""))
        return Client(self.url or url, self.token_file or token_file, self.ca_file or ca_file)


def settings_of(config: Path) -> Settings:
    """The configuration. Raises CliError where there is none; InvalidInput for what can't be read or used."""
    # Here and not above: a third of the time that commands take to start which need none of it.
    from provisioner.config.settings import Settings
    from provisioner.config.source import load

    try:
        return load(config, Settings)
    except InvalidInput as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise CliError(
            f"There is no configuration {config}. Write it (docs/configuration.md has the smallest one), or "
            "name another by --config or PROVISIONER_CONFIG.",
            USAGE,
        ) from error


def _of_this_system(named: str) -> tuple[str, Path, Path | None]:
    """named: the configuration; empty: the usual one, which clients may do without, as without one that they
    may not read."""
    config = Path(named or DEFAULT_CONFIG)
    if not os.access(config, os.R_OK) and (not named or os.access(config, os.F_OK)):
        return "http://127.0.0.1:8776", Path("/var/lib/provisioner/admin.token"), None
    settings = settings_of(config)
    api, ca = settings.api, settings.tls_folder / "ca.pem"
    local_ca = ca if api.tls is not None and api.tls.certificate is None else None
    if api.socket:
        return f"unix:{api.socket}", settings.token_file, local_ca
    where = api.listen.replace("0.0.0.0:", "127.0.0.1:")
    return f"{'https' if api.tls else 'http'}://{where}", settings.token_file, local_ca


def client_and_output(context: typer.Context, as_json: bool) -> tuple[Client, Output]:
    shared = context.find_object(Shared) or Shared()
    return shared.client(), Output(as_json)
