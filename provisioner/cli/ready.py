"""provisioner ready"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from provisioner.cli.exits import CliError
from provisioner.cli.options import Json, client_and_output

POLL_S = 0.1


def ready(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Wait until the provisioner works: it has begun to, or is just starting."""
    end_s = time.monotonic() + timeout
    while True:
        # Anew each time: the first start makes the token that a client begins with.
        client, output = client_and_output(context, as_json)
        try:
            client.get("/readyz")
            break
        except CliError:
            if time.monotonic() > end_s:
                raise
        time.sleep(POLL_S)
    output.tell({"ready": True}, "ready")
