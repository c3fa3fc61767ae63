"""What libvirt tells of the machines: on, off, reset, a disk that failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import libvirt

ALIVE_POLL_S = 0.5
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 3

Tell = Callable[[str, str], None]
"""tell(node, what): what is "on", "off", "reset" or "disk error"; from a thread of its own."""


class MachineEvents:
    """Tells from when it is made, in two threads that end with the process. libvirtd may end and start again:
    what happened meanwhile is told when it is back, from what can be seen then."""

    def __init__(self, uri: str, nodes: Iterable[str], tell: Tell) -> None:
        self._uri = uri
        self._nodes = frozenset(nodes)
        self._tell = tell
        self._on: dict[str, bool] = {}
        self._looking = threading.Lock()  # what is seen is told before what is heard later
        libvirt.registerErrorHandler(lambda *_: None, None)
        libvirt.virEventRegisterDefaultImpl()  # before any connection is made
        threading.Thread(target=self._run_loop, daemon=True).start()
        self._connection = self._connect()
        threading.Thread(target=self._stay_connected, daemon=True).start()

    @staticmethod
    def _run_loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    def _connect(self) -> libvirt.virConnect:
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
        for event, react in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR, self._disk_error),
        ):
            connection.domainEventRegisterAny(None, event, react, None)
        for node in self._nodes:
            with self._looking:
                self._is_now(node, bool(connection.lookupByName(node).isActive()))
        return connection

    def _stay_connected(self) -> None:
        while True:
            time.sleep(ALIVE_POLL_S)
            try:
                if not self._connection.isAlive():
                    self._connection = self._connect()
            except libvirt.libvirtError:
                continue  # libvirtd isn't back yet

    def _is_now(self, node: str, on: bool) -> None:
        if node in self._nodes and self._on.get(node, False) != on:
            self._on[node] = on
            self._tell(node, "on" if on else "off")

    def _lifecycle(self, _: Any, domain: libvirt.virDomain, event: int, __: int, ___: Any) -> None:
        with self._looking:
            if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
                self._is_now(domain.name(), True)
            elif event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
                self._is_now(domain.name(), False)

    def _reboot(self, _: Any, domain: libvirt.virDomain, __: Any) -> None:
        self._tell(domain.name(), "reset")

    def _disk_error(self, _: Any, domain: libvirt.virDomain, *__: Any) -> None:
        self._tell(domain.name(), "disk error")
