"""What a login to a board gets: the commands that the model knows, asked of the board itself."""

from __future__ import annotations

import os
import shlex
import sys

from bmsim.tile_monitor import ask

HERE = "127.0.0.1"


def main() -> int:
    line = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if not line:
        print("This tilepro64 board is a model: give it a command, such as `uname -m` or `dmesg`.")
        return 0
    try:
        code, out, complained = ask(HERE, shlex.split(line))
    except (OSError, ValueError) as error:
        print(f"the board doesn't answer: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(out)
    sys.stderr.write(complained)
    return code


if __name__ == "__main__":
    sys.exit(main())
