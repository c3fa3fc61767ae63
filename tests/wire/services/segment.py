"""A provisioning network of two ends: the compute host's, where the code under test runs, and a node's."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
CARRIER_DEADLINE_S = 60.0

HOST_IF, NODE_IF = "prov0", "node0"
HOST, NODE, STRANGER = "10.77.0.10", "10.77.0.100", "10.77.0.200"
HOST_MAC, NODE_MAC, STRANGER_MAC = "52:54:00:77:00:fe", "52:54:00:77:00:01", "52:54:00:77:00:09"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Segment:
    """The test itself stands at the host's end; what is opened within `at_node` stands at the node's."""

    node_namespace: int
    host_namespace: int

    @contextmanager
    def at_node(self) -> Iterator[None]:
        _enter(self.node_namespace)
        try:
            yield
        finally:
            _enter(self.host_namespace)

    async def run_at_node(self, call: Callable[[], T]) -> T:
        """Runs a blocking call at the node's end, in a thread: a thread has a namespace of its own."""

        def entered() -> T:
            with self.at_node():
                return call()

        return await asyncio.to_thread(entered)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _new_namespace() -> int:
    """Makes a network namespace, enters it, and gives its descriptor."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare: this test needs root")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextmanager
def segment() -> Iterator[Segment]:
    """Both namespaces end with their last descriptor: nothing is left on the machine."""
    with ExitStack() as stack:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, before)
        stack.callback(_enter, before)
        node = _new_namespace()
        stack.callback(os.close, node)
        _ip("link", "set", "lo", "up")
        host = _new_namespace()
        stack.callback(os.close, host)
        _ip("link", "set", "lo", "up")
        # `ip` names a namespace by a process in it; a descriptor has no name.
        holder = subprocess.Popen(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{node}", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert holder.stdin is not None and holder.stdout is not None
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            holder.stdout.read(1)  # it has entered by now
            peer = ("peer", "name", NODE_IF, "address", NODE_MAC, "netns", str(holder.pid))
            _ip("link", "add", HOST_IF, "address", HOST_MAC, "type", "veth", *peer)
        finally:
            holder.kill()
            holder.communicate()
        _ip("addr", "add", f"{HOST}/24", "dev", HOST_IF)
        _ip("addr", "add", "fd77::10/64", "dev", HOST_IF, "nodad")
        _ip("link", "set", HOST_IF, "up")
        made = Segment(node, host)
        with made.at_node():
            for address in (NODE, STRANGER):
                _ip("addr", "add", f"{address}/24", "dev", NODE_IF)
            _ip("link", "set", NODE_IF, "up")
        _wait_for_carrier(HOST_IF)
        with made.at_node():
            _wait_for_carrier(NODE_IF)
        yield made


def _wait_for_carrier(interface: str) -> None:
    """Until then the kernel drops what is sent."""
    end = time.monotonic() + CARRIER_DEADLINE_S
    while "state UP" not in _ip("-o", "link", "show", interface):
        assert time.monotonic() < end, f"{interface} has no carrier"
        time.sleep(0.01)


SESSIONS_OWN = (b"multiprocessing.resource_tracker", b"postgres")
"""What a worker of pytest keeps until it ends, whichever test asked: Python's tracker, a database server."""


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, but for a test session's own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands: dict[int, bytes] = {}
    for child in children:
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
            commands[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes()
    return [child for child, command in commands.items() if not any(own in command for own in SESSIONS_OWN)]
