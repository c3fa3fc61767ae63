"""Power that a command changes: it is ordered, and waited for."""

from __future__ import annotations

from typing import Any

from provisioner.cli.client import Client
from provisioner.cli.exits import FAILED, CliError
from provisioner.cli.watching import wait_until

POWER_TIMEOUT_S = 300.0


def power_changed(
    client: Client, of: str, wish: dict[str, Any], what: str, key: str | None
) -> dict[str, Any]:
    """What became of an order of power. of: the path of whose power it is. key: of the order, unless it is
    a new one. Raises CliError when it failed."""
    order = client.post(f"{of}/power", wish, key)
    done = wait_until(
        lambda: client.get(f"{of}/requests/{order['id']}"),
        lambda found: found["state"] != "pending",
        what,
        POWER_TIMEOUT_S,
    )
    if done["state"] == "failed":
        raise CliError(f"{what}: {done['answer']}", FAILED)
    return done
