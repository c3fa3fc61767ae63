"""provisioner tls …"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli.options import DEFAULT_CONFIG, Json, settings_of
from provisioner.cli.output import Output

app = typer.Typer(help="TLS for the API.", no_args_is_help=True)


@app.command("init")
def init(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file.", envvar="PROVISIONER_CONFIG")
    ] = DEFAULT_CONFIG,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A name or address that clients will know the API by; by default as before."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a certificate for the API, by a local authority that is made the first time; again, to renew it. A
    provisioner that runs takes it up by itself."""
    import socket
    from datetime import UTC, datetime

    from provisioner.services.local_ca import TlsFolder, can_be_for, issue, names_of

    settings = settings_of(config)
    folder = TlsFolder(settings.tls_folder)
    own = [settings.api.address, socket.gethostname(), "localhost", "127.0.0.1"]
    # A system without a name is called "(none)"; nobody asked for that.
    own = [word for word in own if word != "0.0.0.0" and can_be_for(word)]
    wanted = name or names_of(folder)
    names = list(dict.fromkeys([*wanted, *own]))
    until = issue(folder, names, datetime.now(UTC))
    made = {
        "certificate": str(folder.certificate),
        "ca": str(folder.ca),
        "names": names,
        "until": until.isoformat(),
    }
    output = Output(as_json)
    output.record(made, tuple(made))
    if settings.api.tls is None and not as_json:
        output.say("Now set `api: {tls: {}}` in the configuration, and restart the API.")
