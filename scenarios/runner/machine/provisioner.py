"""The provisioner on a rack, as its operator runs it, and who starts again what ended by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import httpx

from bmsim.api import RunningRack
from fixtures.postgres_server import Network, PostgresServer
from scenarios.runner.machine.outage import Outages
from scenarios.runner.machine.process import BIN, STOP_S, Process
from scenarios.runner.stage import Answer, LabTrouble

READY_S = 300.0
"""On two cores that emulate machines meanwhile."""

POLL_S = 0.25

CONTROL = "control"
"""The host of the rack that has the API and the store when compute hosts share them."""


class Provisioner:
    """One compute host: `provisioner serve`, with a store of its own. More: each is `provisioner compute`,
    and CONTROL has `provisioner api` and PostgreSQL.

    settings: of each of the rack's hosts. note(name, host): told of what ends and starts by itself.
    answered(what, text): told of each answer of the API."""

    def __init__(
        self,
        rack: RunningRack,
        hosts: Sequence[str],
        folder: Path,
        settings: Callable[[str], Mapping[str, Any]],
        note: Callable[[str, str], None],
        answered: Callable[[str, str], None],
    ) -> None:
        self._note = note
        self._answered = answered
        self._socket = folder / "api.sock"
        self.database: PostgresServer | None = None
        api = {"api": {"socket": str(self._socket)}}
        if len(hosts) == 1:
            self._api = Process(rack, hosts[0], "serve", folder, {**api, **settings(hosts[0])})
            self.hosts = {hosts[0]: self._api}
        else:
            self.database = _database(rack, folder / "pg")
            shared = {
                **api,
                "database": self.database.url("provisioner"),
                "database_password_file": str(self.database.password_file),
                "images_dir": str(folder / "images"),
                "secret_key_file": str(folder / "secret.key"),
            }
            self._api = Process(rack, CONTROL, "api", folder, {**shared, **settings(CONTROL)})
            self.hosts = {
                name: Process(rack, name, "compute", folder, {**shared, **settings(name)}) for name in hosts
            }
        self._http: httpx.AsyncClient | None = None
        self._managing: asyncio.Task[None] | None = None
        self._outages = Outages()
        self._owned = ExitStack()

    @property
    def _processes(self) -> tuple[Process, ...]:
        return tuple(dict.fromkeys((self._api, *self.hosts.values())))

    async def start(self) -> None:
        """Returns when all of it is ready. Raises LabTrouble."""
        if self.database is not None:
            await asyncio.to_thread(self._make_database, self.database)
        self._api.start()
        await self._comes("the API", self._answers)
        for process in self.hosts.values():
            if process is not self._api:
                process.start()
        for name in self.hosts:
            await self._comes(f"compute host {name}", partial(self._serves, name))
        self._managing = asyncio.create_task(self._manage())

    def _make_database(self, database: PostgresServer) -> None:
        self._owned.enter_context(database)
        database.execute("CREATE DATABASE provisioner")
        argv = (BIN / "provisioner", "db", "upgrade", "--config", self._api.config)
        done = self._api.run(argv, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabTrouble(f"the database can't be made: {done.stdout}{done.stderr}")

    async def _comes(self, what: str, look: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(READY_S):
                while not await look():
                    for process in self._processes:
                        if process.ended_by_itself:
                            raise LabTrouble(f"{what} ended on {process.host}: {process.log()[-2000:]}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise LabTrouble(f"{what} isn't ready in {READY_S:.0f} s: {self.log()[-2000:]}") from None

    async def _answers(self) -> bool:
        with suppress(httpx.HTTPError, FileNotFoundError):
            return (await self.call("GET", "/readyz")).status == 200
        return False

    async def _serves(self, host: str) -> bool:
        with suppress(httpx.HTTPError):
            answer = await self.call("GET", f"/v1/hosts/{host}")
            return answer.status == 200 and answer.body["state"] == "serving"
        return False

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        """Raises httpx.HTTPError or FileNotFoundError while it isn't there."""
        token = self.token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        if key:
            headers["Idempotency-Key"] = key
        if self._http is None:
            transport = httpx.AsyncHTTPTransport(uds=str(self._socket))
            self._http = httpx.AsyncClient(transport=transport, base_url="http://provisioner", timeout=60)
        answer = await self._http.request(method, path, json=body, headers=headers)
        self._answered(f"{method} {path}", answer.text)
        return Answer(status=answer.status_code, body=json.loads(answer.content) if answer.content else None)

    @property
    def token_file(self) -> Path:
        return self._api.state / "admin.token"

    @property
    def services_host(self) -> str:
        """The rack's host that the API runs on."""
        return self._api.host

    async def _manage(self) -> None:
        """As a service manager does."""
        while True:
            await asyncio.sleep(POLL_S)
            for process in self._processes:
                if process.ended_by_itself:
                    self._note("ended", process.host)
                    process.start()
                    self._note("started", process.host)
                elif process.told_to_end and not process.alive:
                    process.told_to_end = False
                    self._note("ended", process.host)

    async def has_ended(self, host: str) -> None:
        """Returns when a process that was told to end has. Raises LabTrouble."""
        for _ in range(round(STOP_S / POLL_S)):
            if not self.hosts[host].told_to_end:
                return
            await asyncio.sleep(POLL_S)
        raise LabTrouble(f"{host} was told to end, and hasn't in {STOP_S:.0f} s")

    async def restart_database(self, down_s: float, stopped: Callable[[], None]) -> None:
        """As `Outages.begin`; `database_is_back` when it is over."""
        assert self.database is not None, "a scenario without one is refused"
        await self._outages.begin(self.database, down_s, stopped)

    async def database_is_back(self) -> None:
        await self._outages.over()

    def log(self) -> str:
        return "".join(process.log() for process in self._processes)

    async def stop(self) -> None:
        """Nothing of it runs. Idempotent."""
        if self._managing is not None:
            self._managing.cancel()
            with suppress(asyncio.CancelledError):
                await self._managing
        await self._outages.leave()
        if self._http is not None:
            await self._http.aclose()
        try:
            # Compute hosts hand over what they have to those that are left: to nobody in the end.
            await asyncio.gather(*(process.stop() for process in self._processes))
        finally:
            await asyncio.to_thread(self._owned.close)


def _database(rack: RunningRack, folder: Path) -> PostgresServer:
    """In the network of CONTROL."""
    found = rack.spec.compute_host(CONTROL)
    assert found is not None, "whoever made the rack gave it one"
    network = f"/proc/{rack.state.supervisor()}/root/run/netns/{CONTROL}"
    return PostgresServer(
        folder,
        network=Network(
            address=IPv4Address(found.management_address),
            clients=IPv4Network(rack.spec.networks.management.subnet),
            within=("nsenter", f"--net={network}", "--"),
        ),
    )
