"""iPXE: asks DHCP what to boot, fetches it and runs it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from bmsim.devices import net_client
from bmsim.devices.ipxe_script import MAGIC, End, Script, number
from bmsim.devices.net_client import Body, DhcpClient, Lease
from bmsim.devices.running import Failure, Flow, Running
from bmsim.devices.system import System, Then
from bmsim.devices.timing import IPXE_DEFERRALS, IPXE_DHCP_S, IPXE_HTTP_S, IPXE_TFTP_S


class Ipxe:
    """`ipxe_script.Host`. platform: "pcbios" or "efi", as its setting of that name."""

    def __init__(
        self, machine: Running, platform: str, architecture: int, system_on_disk: Callable[[], System | None]
    ) -> None:
        self.machine = machine
        self.settings: dict[str, str] = {"platform": platform, "net0/mac": machine.mac}
        self._client = DhcpClient(architecture, "iPXE", IPXE_DHCP_S, deferrals=IPXE_DEFERRALS)
        self._system_on_disk = system_on_disk
        self._lease: Lease | None = None

    def start(self) -> Flow[End]:
        while True:
            yield from self.machine.sleep(self.machine.timing.loader_s)
            yield from self.machine.gate("loader")
            self.machine.say("iPXE initialising devices... ok")
            if not (yield from self.configure()) or self._lease is None:
                return self._nothing("No configuration methods succeeded (https://ipxe.org/040ee119)")
            url = _url(self._lease)
            if not url:
                return self._nothing("Nothing to boot: No such file or directory (https://ipxe.org/2d03e13b)")
            got = yield from self.fetch(url)
            if isinstance(got, Failure):
                return self._nothing(f"Could not boot: {got.why} (https://ipxe.org/{number(got):08x})")
            if got.text is not None:
                break
            # No script but a program, and that is iPXE itself: a server that doesn't know it when it asks.
        if not got.text.startswith(MAGIC):
            return self._nothing("Could not boot: Exec format error (https://ipxe.org/2e008081)")
        return (yield from Script(got.text, url, self).run())

    def configure(self) -> Flow[bool]:
        self.machine.say(f"Configuring (net0 {self.machine.mac})...")
        lease = yield from net_client.lease(self.machine, self._client)
        if isinstance(lease, Failure):
            return False
        self._lease = lease
        self.settings |= {"ip": lease.address, "next-server": lease.server, "filename": lease.boot_file}
        return True

    def fetch(self, url: str) -> Flow[Body | Failure]:
        parts = urlsplit(url)
        got: Body | Failure
        if parts.scheme == "tftp":
            got = yield from net_client.tftp(
                self.machine, parts.hostname or "", parts.path.lstrip("/"), IPXE_TFTP_S
            )
        else:
            got = yield from net_client.http(self.machine, url, IPXE_HTTP_S)
        ending = f"{got.why} (https://ipxe.org/{number(got):08x})" if isinstance(got, Failure) else "ok"
        self.machine.say(f"{url}... {ending}")
        return got

    def system_on_disk(self) -> System | None:
        return self._system_on_disk()

    def _nothing(self, why: str) -> Then:
        self.machine.say(why)
        self.machine.say("No more network devices")
        return Then.NEXT_DEVICE


def _url(lease: Lease) -> str:
    if "://" in lease.boot_file or not lease.boot_file:
        return lease.boot_file
    return f"tftp://{lease.server}/{lease.boot_file.lstrip('/')}"
