"""Runs the agent until it is told to end (SIGTERM)."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from provisioner.agent import VERSION
from provisioner.agent.announcer import Announcer
from provisioner.agent.board import CommandBoard
from provisioner.agent.commands import commands
from provisioner.agent.export import Exports
from provisioner.agent.http_server import AgentServer
from provisioner.agent.kernel_command_line import BadCommandLine, BootOrders, parse

PORT = 9999
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RUN_FOLDER = Path("/run/provisioner-agent")


def say(text: str) -> None:
    """A line for the operator at the console."""
    print(f"agent: {text}", flush=True)


def main() -> int:
    try:
        orders = parse(Path("/proc/cmdline").read_text())
    except BadCommandLine as error:
        say(
            f"can't start: {error}. The boot configuration of this node must give it; "
            "correct that, then power-cycle the node"
        )
        return 2
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)  # for sigwait; the threads inherit it
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    RUN_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    exports = Exports(RUN_FOLDER)
    board = CommandBoard(
        commands(node=orders.node, boot_mac=orders.boot_mac, exports=exports),
        fence=orders.fence,
        fence_file=RUN_FOLDER / "fence",
        shut_out=exports.withdraw,
        say=say,
    )
    server = AgentServer(
        ("0.0.0.0", PORT), token=orders.token, board=board, status=_status(orders, boot_id, board)
    )
    announcer = Announcer(
        orders.announce_urls, token=orders.token, describe=_description(orders, boot_id), say=say
    )
    serving = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    serving.start()
    announcer.start()
    say(f"version {VERSION} of node {orders.node} listens on port {PORT}")
    signal.sigwait(ENDING_SIGNALS)
    say("ends: what is exported is withdrawn")
    announcer.stop()
    server.shutdown()
    board.close()
    server.server_close()
    return 0


def _status(orders: BootOrders, boot_id: str, board: CommandBoard) -> Any:
    def status() -> dict[str, Any]:
        return {
            "version": VERSION,
            "node": orders.node,
            "boot_id": boot_id,
            "fence": board.fence,
            "uptime_s": round(time.clock_gettime(time.CLOCK_BOOTTIME), 1),
            "command": board.last(),
        }

    return status


def _description(orders: BootOrders, boot_id: str) -> Any:
    def describe(address: str) -> dict[str, Any]:
        return {
            "node": orders.node,
            "boot_id": boot_id,
            "port": PORT,
            "version": VERSION,
            "mac": orders.boot_mac,
            "address": address,
        }

    return describe


if __name__ == "__main__":
    sys.exit(main())
