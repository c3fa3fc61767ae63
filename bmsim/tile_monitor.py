"""`tile-monitor` for emulated boards: the command line of the vendor's, and behind it a protocol of our own.

The vendor's protocol was never published, so the command line is the contract:

    tile-monitor --resume --net ADDRESS --run - CMD ARGS… - --wait … --quit
    tile-monitor --resume --net ADDRESS -- CMD ARGS…

The board answers on a TCP port with one line of JSON for one.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PORT = 5188
"""Made up: 188 is the number of its processor in ELF."""

CONNECT_S, ANSWER_S = 5.0, 60.0
USAGE, UNREACHABLE = 2, 1


class WrongUse(Exception):
    """What of the command line isn't understood."""


@dataclass(frozen=True, slots=True)
class Order:
    address: str
    commands: tuple[tuple[str, ...], ...]


def parsed(words: Sequence[str]) -> Order:
    """Raises WrongUse."""
    address, commands, position, resumes, quits = "", [], 0, False, False
    while position < len(words):
        word, position = words[position], position + 1
        match word:
            case "--resume":
                resumes = True
            case "--net":
                address, position = _next(words, position, word), position + 1
            case "--run":
                delimiter = _next(words, position, word)
                try:
                    end = words.index(delimiter, position + 1)
                except ValueError:
                    raise WrongUse(
                        f"the command after --run {delimiter} has no {delimiter} at its end"
                    ) from None
                commands.append(tuple(words[position + 1 : end]))
                position = end + 1
            case "--wait":
                pass  # every command is waited for
            case "--quit":
                quits = True
            case "--":
                commands.append(tuple(words[position:]))
                position, quits = len(words), True
            case _:
                raise WrongUse(f"{word} isn't understood")
    if not resumes or not address:
        raise WrongUse(
            "it takes --resume --net ADDRESS: an emulated board boots by itself, and is on the network"
        )
    if not commands or not all(commands) or not quits:
        raise WrongUse("it takes --run - COMMAND - --wait … --quit, or -- COMMAND")
    return Order(address, tuple(commands))


def _next(words: Sequence[str], position: int, option: str) -> str:
    if position >= len(words):
        raise WrongUse(f"{option} lacks its argument")
    return words[position]


def ask(connection: socket.socket, command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, what it printed, what it complained. Raises OSError, ValueError."""
    connection.settimeout(ANSWER_S)
    connection.sendall(json.dumps({"run": list(command)}).encode() + b"\n")
    with connection.makefile("rb") as lines:
        answer = lines.readline()
    if not answer:
        raise ConnectionError("the board hung up")
    said = json.loads(answer)
    return int(said["code"]), str(said["out"]), str(said["err"])


def main() -> int:
    """Ends with the code of the first command that fails: the others aren't run."""
    try:
        order = parsed(sys.argv[1:])
    except WrongUse as error:
        print(f"tile-monitor: {error}", file=sys.stderr)
        return USAGE
    for command in order.commands:
        try:
            with socket.create_connection((order.address, PORT), CONNECT_S) as connection:
                code, out, complained = ask(connection, command)
        except (OSError, ValueError) as error:
            print(f"tile-monitor: {order.address} doesn't answer: {error}", file=sys.stderr)
            return UNREACHABLE
        sys.stdout.write(out)
        sys.stderr.write(complained)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
