"""Orders to a running rack: one JSON object a line over the socket in its state folder, one back."""

from __future__ import annotations

import json
import socket
from typing import Any

from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState

ANSWER_TIMEOUT_S = 30.0


def order(state: RackState, verb: str, **arguments: Any) -> dict[str, Any]:
    """Sends one order and returns the answer. Raises RackError with the rack's own words."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(state.control_socket))
            connection.sendall(json.dumps({"do": verb, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                text = lines.readline()
        except OSError as error:
            raise RackError(
                f"rack {state.name} does not answer ({error}); is it up? bmsim rack ls"
            ) from error
    answer: dict[str, Any] = json.loads(text) if text else {"error": "it hung up"}
    if "error" in answer:
        raise RackError(f"rack {state.name}: {answer['error']}", code=int(answer.get("code", 1)))
    return answer
