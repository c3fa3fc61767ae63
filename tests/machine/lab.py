"""A rack and a provisioner for one test: everything through the commands that a person types."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from fixtures.images.cache import default_directory
from fixtures.images.images import IMAGES
from scenarios.runner.machine.ramdisks import make_ramdisks
from tests.machine.commands import BIN, DEADLINES_S, CommandFailed, eventually, run

PAGE = 1000
"""Events that one answer lists, at most."""


@dataclass
class Lab:
    """A rack that is up, and what runs in it. Racks of parallel tests don't see each other."""

    folder: Path
    name: str
    spec: Mapping[str, Any]
    settings: dict[str, Any]
    host: str = "ch1"
    serve: subprocess.Popen[bytes] | None = None
    serves: int = 0
    _api: httpx.Client | None = None
    _open: list[Any] = field(default_factory=list)

    # --- the rack -------------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        return self.folder / "rack"

    def bmsim(self, *words: str, **options: Any) -> str:
        return run([BIN / "bmsim", *words], env=self._env(), **options)

    def rack(self, verb: str, *words: str, **options: Any) -> str:
        return self.bmsim("rack", verb, "--rack", self.name, *words, **options)

    def execute(self, *words: str, **options: Any) -> str:
        """Runs a command on the compute host."""
        return self.rack("exec", self.host, "--", *words, **options)

    def _env(self) -> dict[str, str]:
        return {**os.environ, "BMSIM_STATE": str(self.folder / "racks"), "NO_COLOR": "1", "COLUMNS": "200"}

    def disk(self, node: str, number: int = 0) -> Path:
        """The file behind a machine's disk (raw)."""
        return next((self.folder / "racks").glob(f"*/nodes/{node}/disk{number}.*"))

    def console(self, node: str) -> str:
        """All that a machine has said."""
        path = next((self.folder / "racks").glob(f"*/nodes/{node}/console.log"))
        return path.read_text(errors="replace")

    def audit(self) -> list[dict[str, Any]]:
        """What the BMCs received, in order."""
        return [json.loads(line) for line in self.rack("log", "--json").splitlines() if line.strip()]

    # --- the provisioner ------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        return self.folder / "provisioner.yaml"

    @property
    def database(self) -> Path:
        return Path(self.settings["state_dir"]) / "provisioner.db"

    def start(self) -> None:
        """Starts `provisioner serve` on the compute host and waits until it is ready."""
        self.launch()
        self.becomes_ready()

    def launch(self) -> None:
        """Starts it, and waits for nothing."""
        self.config.write_text(yaml.safe_dump(self.settings))
        self.serves += 1
        log = (self.folder / f"serve-{self.serves}.log").open("wb")
        self._open.append(log)
        self.serve = subprocess.Popen(
            [
                *(BIN / "bmsim", "rack", "exec", "--rack", self.name, self.host, "--"),
                *(BIN / "provisioner", "serve", "--config", self.config),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._env(),
        )

    def becomes_ready(self) -> None:
        """Returns when it is."""
        eventually("the provisioner is ready", self._ready, DEADLINES_S["ready"])

    def _ready(self) -> bool:
        assert self.serve is not None
        if self.serve.poll() is not None:
            raise AssertionError(f"serve ended with {self.serve.returncode}:\n{self.log()[-4000:]}")
        socket = Path(self.settings["api"]["socket"])
        if not socket.exists():
            return False
        try:
            self.look("/readyz")
        except httpx.HTTPError:
            return False
        return True

    def log(self) -> str:
        """All that every start of the provisioner has logged."""
        return "".join(
            (self.folder / f"serve-{number}.log").read_text(errors="replace")
            for number in range(1, self.serves + 1)
        )

    @property
    def pid(self) -> int:
        """The provisioner's own process, as this side of the rack's namespaces calls it."""
        assert self.serve is not None
        entered = self.serve.pid
        return int(Path(f"/proc/{entered}/task/{entered}/children").read_text())

    def kill(self) -> None:
        """kill -9 of the provisioner's own process."""
        pid = (Path(self.settings["state_dir"]) / "lock").read_text().strip()
        self.execute("kill", "-9", pid)
        assert self.serve is not None
        self.serve.wait(timeout=30)

    def stop(self) -> None:
        if self.serve is not None and self.serve.poll() is None:
            self.serve.terminate()
            self.serve.wait(timeout=60)

    def cli(self, *words: str, expect: int = 0, timeout_s: float = 60) -> Any:
        """`provisioner … --json`, parsed."""
        argv: list[str | Path] = [BIN / "provisioner", *words, "--json"]
        text = run(argv, expect=expect, timeout_s=timeout_s, env=self._cli_env())
        return json.loads(text) if text.strip() else None

    def refused(self, *words: str, expect: int = 1) -> str:
        """The message of a command that must fail with exit code `expect`."""
        argv = [BIN / "provisioner", *words]
        done = subprocess.run(
            [str(word) for word in argv],
            capture_output=True,
            text=True,
            timeout=90,
            env=self._cli_env(),
            check=False,
        )
        if done.returncode != expect:
            raise CommandFailed([str(word) for word in argv], done.returncode, done.stdout + done.stderr)
        return " ".join((done.stdout + done.stderr).split())

    def _cli_env(self) -> dict[str, str]:
        return {
            **self._env(),
            "PROVISIONER_URL": f"unix:{self.settings['api']['socket']}",
            "PROVISIONER_TOKEN_FILE": str(Path(self.settings["state_dir"]) / "admin.token"),
        }

    # --- stories --------------------------------------------------------------------------------

    def enrol(self, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Enrols the rack's nodes as `bmsim rack inventory` prints them, and waits for the verdict."""
        inventory = yaml.safe_load(self.rack("inventory"))
        if change is not None:
            change(inventory)
        path = self.folder / "nodes.yaml"
        path.write_text(yaml.safe_dump(inventory))
        self.cli("node", "enroll", "-f", str(path))

    def look(self, path: str) -> Any:
        """GET of the API, for what is asked often: a process for each look would take the machines' CPU."""
        if self._api is None:
            # Without TLS there are no authorities to read: that alone takes 40 ms of a processor.
            transport = httpx.HTTPTransport(uds=self.settings["api"]["socket"], verify=False)
            self._api = httpx.Client(transport=transport, base_url="http://provisioner", timeout=60)
            self._open.append(self._api)
        token = (Path(self.settings["state_dir"]) / "admin.token").read_text().strip()
        answer = self._api.get(path, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        return answer.json()

    def node(self, name: str = "n1") -> dict[str, Any]:
        found: dict[str, Any] = self.look(f"/v1/nodes/{name}")
        return found

    def node_becomes(self, state: str, name: str = "n1", deadline: str = "enrol") -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            node = self.node(name)
            return node if node["state"] == state else None

        try:
            return eventually(f"node {name} becomes {state}", look, DEADLINES_S[deadline])
        except AssertionError as error:
            events = run([BIN / "provisioner", "node", "events", name], env=self._cli_env())
            raise AssertionError(f"{error}\n{self.node(name)}\n{events}") from None

    def instance(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.look(f"/v1/instances/{name}")
        return found

    def instance_becomes(self, state: str, name: str, deadline: str | None = None) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            self.still_serving()
            instance = self.instance(name)
            if instance["state"] == "error" and state != "error":
                raise AssertionError(f"{name} ended in error: {instance['failure']}\n{self.timeline(name)}")
            return instance if instance["state"] == state else None

        try:
            return eventually(f"instance {name} becomes {state}", look, DEADLINES_S[deadline or state], 0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.timeline(name)}\n{self.consoles()}") from None

    def still_serving(self) -> None:
        if self.serve is not None and self.serve.poll() is not None:
            raise AssertionError(f"serve ended with {self.serve.returncode}:\n{self.log()[-4000:]}")

    def events(self, node: str = "n1", after: int = 0) -> list[dict[str, Any]]:
        """All of a node, oldest first; or those after the one of this number."""
        found: list[dict[str, Any]] = []
        while page := self.look(f"/v1/nodes/{node}/events?limit={PAGE}&after={after}")["items"]:
            found += page
            after = page[-1]["id"]
        return found

    def newest_event(self, node: str = "n1") -> int:
        """The number of what happened last: what is waited for from now on comes after it."""
        return max((event["id"] for event in self.events(node)), default=0)

    def timeline(self, instance: str) -> str:
        try:
            return run([BIN / "provisioner", "instance", "show", instance], env=self._cli_env())
        except (CommandFailed, subprocess.TimeoutExpired) as error:
            return str(error)

    def consoles(self) -> str:
        texts = []
        for path in sorted((self.folder / "racks").glob("*/nodes/*/console.log")):
            texts.append(f"--- console of {path.parent.name}\n{path.read_text(errors='replace')[-1500:]}")
        return "\n".join(texts)

    def step_begins(self, step: str, node: str = "n1", *, after: int) -> None:
        """Returns when the node's work has come to `step`, as events tell that came after one."""

        def look() -> bool:
            return any(
                event["name"] in ("step.started", "step.resumed") and event["step"] == step
                for event in self.events(node, after)
            )

        eventually(f"step {step} begins", look, DEADLINES_S["step"], 0.1)

    def register(self, *names: str) -> None:
        """Registers images of fixtures/images, each with its kernel and ramdisk, and the test's key."""
        for name in names:
            image = IMAGES[name](default_directory())
            words = ["--kind", "disk"]
            parts = (("kernel", image.kernel), ("ramdisk", image.ramdisk))
            if image.kernel is not None:
                words = ["--kind", "root"]
            for kind, path in parts:
                if path is not None:
                    its = ["--arch", image.arch, "--kind", kind]
                    self.cli("image", "register", f"{name}-{kind}", *its, "--file", path)
                    words += [f"--{kind}", f"{name}-{kind}"]
            self.cli(
                *("image", "register", name, *words, "--arch", image.arch, "--format", image.image_format),
                *("--file", image.image),
                timeout_s=300,
            )
        self.cli("flavor", "create", "small", "--cpus", "1", "--memory-mib", "512", "--disk-mib", "1024")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)])
        self.cli("key", "add", "me", "--file", f"{self.key}.pub")

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    def deploy(self, name: str, image: str, *words: str, flavor: str = "small") -> None:
        """Asks for an instance; returns at once."""
        self.cli("instance", "create", name, "--flavor", flavor, "--image", image, "--key", "me", *words)

    def ready(self, *images: str, change: Callable[[dict[str, Any]], None] | None = None) -> Lab:
        """Registers images and enrols the rack's nodes; returns when all of them can be had."""
        self.register(*images)
        self.enrol(change)
        for node in self.spec["nodes"]:
            self.node_becomes("available", node["name"])
        return self

    def runs(self, name: str, image: str, *words: str, flavor: str = "small") -> str:
        """Asks for an instance; returns its address when it runs."""
        self.deploy(name, image, *words, flavor=flavor)
        return str(self.instance_becomes("active", name)["address"])

    def ends(self, name: str, node: str = "n1") -> None:
        """Deletes an instance; returns when its node can be had again."""
        self.cli("instance", "delete", name)
        self.node_becomes("available", node, deadline="deleted")

    def roots(self) -> list[Path]:
        """The folders that nodes have for their roots by NFS."""
        return list((Path(self.settings["state_dir"]) / "roots/nodes").iterdir())

    def boot_id(self, address: str) -> str:
        """Another after each boot; empty while it can't be asked."""
        try:
            return self.ssh(address, "cat /proc/sys/kernel/random/boot_id")
        except AssertionError:
            return ""

    def ssh(self, address: str, *words: str, user: str = "debian") -> str:
        """A command on the instance, by SSH from the compute host."""
        return self.execute(
            *("ssh", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"),
            *("-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "ConnectTimeout=10"),
            *(f"{user}@{address}", *words),
        )

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self.bmsim("rack", "down", self.name, timeout_s=60)
            for file in self._open:
                file.close()


@contextmanager
def lab(folder: Path, name: str, spec: Mapping[str, Any], **settings: Any) -> Iterator[Lab]:
    """Brings a rack up with a provisioner on its first compute host, and takes both down."""
    make_ramdisks((node["arch"] for node in spec["nodes"]), settings.get("ramdisk_kernel", "cloud"))
    rack_file = folder / "rack.yaml"
    rack_file.write_text(yaml.safe_dump({**spec, "name": name}))
    host = spec["compute_hosts"][0]
    built = Lab(
        folder=folder,
        name=name,
        spec=spec,
        host=host["name"],
        settings={
            "state_dir": str(folder / "provisioner"),
            "host": {"name": host["name"]},
            "api": {"socket": str(folder / "api.sock")},
            "ramdisk_kernel": "cloud",
            "network": {
                "interface": "prov0",
                "address": host["provisioning_address"],
                "subnet": spec["networks"]["provisioning"]["subnet"],
                "pool": "10.77.0.100-10.77.0.199",
            },
            **settings,
        },
    )
    built.bmsim("rack", "up", str(rack_file), timeout_s=180)
    try:
        built.start()
        yield built
    finally:
        built.close()
