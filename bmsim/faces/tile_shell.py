"""What a login to a board gets: the commands that the model knows, asked of the board itself.

argv: the board's socket.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys

from bmsim.tile_monitor import ask


def main() -> int:
    line = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if not line:
        print("This tilepro64 board is a model: give it a command, such as `uname -m` or `dmesg`.")
        return 0
    try:
        # Not by the network: the packet filter that its owner asked for may drop that.
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(sys.argv[1])
            code, out, complained = ask(connection, shlex.split(line))
    except (OSError, ValueError) as error:
        print(f"the board doesn't answer: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(out)
    sys.stderr.write(complained)
    return code


if __name__ == "__main__":
    sys.exit(main())
