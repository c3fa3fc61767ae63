"""Options that every command takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli.client import Client
from provisioner.cli.output import Output

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(slots=True)
class Shared:
    """What the options before the command say."""

    url: str | None = None
    token_file: Path | None = None

    def client(self) -> Client:
        return Client(self.url, self.token_file)


def client_and_output(context: typer.Context, as_json: bool) -> tuple[Client, Output]:
    shared = context.find_object(Shared) or Shared()
    return shared.client(), Output(as_json)
