"""What a node's serial console said, to whoever asks for it by a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from provisioner.cli.client import Client
from provisioner.cli.output import Output

CONSOLE_TAIL_BYTES = 2**20

Follow = Annotated[bool, typer.Option("--follow", help="Go on as it says more; Ctrl-C ends.")]


def show_console(client: Client, output: Output, path: str, follow: bool) -> None:
    """With `follow`, until it ends or Ctrl-C."""
    if output.as_json:
        output.json({"text": client.text(path, tail_bytes=CONSOLE_TAIL_BYTES)})
    elif not follow:
        sys.stdout.write(client.text(path, tail_bytes=CONSOLE_TAIL_BYTES))
    else:
        for text in client.stream(path, tail_bytes=CONSOLE_TAIL_BYTES, follow=True):
            sys.stdout.write(text)
            sys.stdout.flush()
