"""The API in this process: the store's twin in memory, images and secrets as in production."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from cryptography.fernet import Fernet

from provisioner.api.address_pool import AddressPool
from provisioner.api.application import build_app
from provisioner.api.context import ApiContext
from provisioner.api.metrics import Metrics
from provisioner.config.network_settings import Network
from provisioner.core.model import Node
from provisioner.core.public_address import AddressPolicy
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from provisioner.services.image_store import ImageStore
from provisioner.services.secret_box import SecretBox
from provisioner.services.system import SystemClock
from provisioner.store import open_store
from tests.unit.api import shapes
from tests.unit.fakes import CountingIds
from tests.unit.records import NOW, token_of_admin
from tests.unit.spoken import says

T = TypeVar("T")
TOKEN = "a-token-of-the-tests"


NETWORK = Network.model_validate(
    {
        "interface": "lo",
        "address": "10.77.0.1",
        "gateway": "10.77.0.2",
        "subnet": "10.77.0.0/24",
        "pool": "10.77.0.100-10.77.0.103",
    }
)


class Api:
    """A client of the API, and what stands behind it."""

    def __init__(self, folder: Path, database: str = "memory:") -> None:
        self._runner = asyncio.Runner()
        self.advanced_s = 0.0
        self.answered: set[tuple[str, str]] = set()
        self.store = open_store(database, wall_clock=self._wall)
        self.box = SecretBox(Fernet.generate_key().decode())
        self.images = ImageStore(folder / "images", reserve_bytes=0)
        self.consoles, self._spoken = says(folder / "consoles")
        self.context = ApiContext(
            store=self.store,
            ids=CountingIds(),
            clock=SystemClock(),
            images=self.images,
            seal=self.box.seal,
            unseal=self.box.open,
            pool=AddressPool(IPv4Address("10.77.0.100"), IPv4Address("10.77.0.103"), NETWORK.fault),
            power_drivers=frozenset({"ipmi"}),
            # What tests fetch from doesn't leave this machine.
            image_urls=AddressPolicy(also=(IPv4Network("127.0.0.0/8"),)),
            metrics=Metrics(),
            consoles=self.consoles,
        )
        self.app = build_app(self.context)
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://provisioner",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        self._running = self.app.router.lifespan_context(self.app)

    def _wall(self) -> datetime:
        return NOW + timedelta(seconds=self.advanced_s)

    def start(self) -> None:
        def admit(tx: Tx) -> None:
            # A database on disk has the user from its first revision on, and the token by another process.
            made = token_of_admin(TOKEN, tx.now())
            tx.insert(*(one for one in made if tx.get(type(one), one.id) is None))

        self.transact(admit)
        self.run(self._running.__aenter__())

    def stop(self) -> None:
        self.run(self._running.__aexit__(None, None, None))
        self.run(self._client.aclose())
        self._runner.close()

    def context_now(self) -> datetime:
        """The store's time."""
        return self._wall()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def transact(self, work: Callable[[Tx], T]) -> T:
        return self.run(self.store.transact(work))

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.run(self.request(method, path, **options))

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """For stories with more than one thing going on. Each good answer has the shape that is described."""
        answer = await self._client.request(method, path, **options)
        shapes.check(answer)
        if answer.is_success and (operation := shapes.operation_of(answer)) is not None:
            self.answered.add(operation)
        return answer

    def get(self, path: str, expect: int = 200, **params: Any) -> Any:
        answer = self.call("GET", path, params=params or None)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def post(self, path: str, body: Any, expect: int, **headers: str) -> Any:
        answer = self.call("POST", path, json=body, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def say(self, node_id: str, text: str) -> None:
        """By the console of a node that is worked on."""
        node = await self.store.transact(lambda tx: tx.get(Node, node_id))
        assert node is not None
        self._spoken.said = text
        await self._spoken.recorded(self.consoles, node)

    def user_of(self, tenant: str, role: str) -> User:
        """Somebody new, of a tenant that is made as needed."""
        return User(self, tenant, role)

    def register_images(self) -> None:
        """A kernel, a ramdisk and a root file system, each a few bytes, all ACTIVE."""
        for kind in ("kernel", "ramdisk", "root"):
            body: dict[str, Any] = {"name": kind, "kind": kind}
            if kind == "root":
                body |= {"kernel_id": "kernel", "ramdisk_id": "ramdisk"}
            self.post("/v1/images", body, 201)
            self.call("PUT", f"/v1/images/{kind}/content", content=kind.encode() * 512).raise_for_status()
        self.post("/v1/flavors", {"name": "small"}, 201)


class User:
    """A client that has a token of a user of its own."""

    def __init__(self, api: Api, tenant: str, role: str) -> None:
        self.api = api
        self.name = f"{tenant}-{role}"
        api.call("POST", "/v1/tenants", json={"name": tenant})
        api.post("/v1/users", {"name": self.name, "tenant": tenant, "role": role}, 201)
        made = api.post("/v1/tokens", {"name": self.name, "user": self.name}, 201)
        self.headers = {"Authorization": f"Bearer {made['token']}"}

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.api.call(method, path, headers=self.headers, **options)

    def names(self, path: str) -> list[str]:
        """Of what is listed there."""
        return [item["name"] for item in self.call("GET", path).json()["items"]]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    api.start()
    yield api
    api.stop()


@pytest.fixture
def images_registered(api: Api) -> None:
    """Those of Api.register_images."""
    api.register_images()


def node_entry(name: str = "n1", number: int = 1, **changes: Any) -> dict[str, Any]:
    """What is posted to enrol a node."""
    entry: dict[str, Any] = {
        "name": name,
        "arch": "x86_64",
        "vcpus": 2,
        "memory_mib": 1024,
        "disk_mib": 4096,
        "ports": [{"mac": f"52:54:00:77:00:{number:02x}"}],
        "power": {"driver": "ipmi", "address": "10.78.0.101", "user": "admin", "password": "open-sesame"},
    }
    return entry | changes


def put_in_state(api: Api, state: ProvisionState, **changes: Any) -> None:
    """The node n1, as one that nothing is done with."""

    def change(tx: Any) -> None:
        (node,) = tx.find(Node, where={"name": "n1"})
        tx.update(Node, node.id, {"state": state, "work": None, **changes})

    api.transact(change)
