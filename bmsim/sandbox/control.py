"""Orders to a running rack and its PDUs: a JSON object a line over a socket in its state folder, one back."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState

ANSWER_TIMEOUT_S = 30.0


def order(state: RackState, verb: str, **arguments: Any) -> dict[str, Any]:
    """Sends one order and returns the answer. Raises RackError with the rack's own words."""
    return _asked(state, state.control_socket, f"rack {state.name}", {"do": verb, **arguments})


def order_pdu(state: RackState, pdu: str, verb: str, **arguments: Any) -> dict[str, Any]:
    """By hand, past all of its faults. Raises as `order`."""
    if state.rack().pdu(pdu) is None:
        raise RackError(f"rack {state.name} has no PDU {pdu}", code=3)
    return _asked(state, state.pdu_socket(pdu), f"PDU {pdu}", {"do": verb, **arguments})


def _asked(state: RackState, path: Path, who: str, what: Mapping[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(what).encode() + b"\n")
            with connection.makefile("rb") as lines:
                text = lines.readline()
        except OSError as error:
            raise RackError(
                f"rack {state.name} does not answer ({error}); is it up? bmsim rack ls"
            ) from error
    answer: dict[str, Any] = json.loads(text) if text else {"error": "it hung up"}
    if "error" in answer:
        raise RackError(f"{who}: {answer['error']}", code=int(answer.get("code", 1)))
    return answer
