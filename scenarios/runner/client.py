"""The provisioner's client in a story: asks, and looks until what it asked for has ended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from scenarios.runner.stage import Answer, BadAnswer, Fidelity, LabTrouble, NoAnswer, NotBegun, Stage
from scenarios.runner.story import Delete, Deploy, Maintenance, Power, Story, StoryNode
from scenarios.runner.trace import Event, Origin

SMALLEST = {"cpus": 1, "memory_mib": 256, "disk_mib": 1}
ENROLLED = ("available", "enrol_failed")
CLEANED = ("available", "deploying", "deploy_wait", "deploy_failed", "active")
"""States of a node after its cleaning: whoever waits for it may have it before anybody looks."""


PREPARED_S = 1800.0
"""How long images and nodes may take to be there before anything is asked for."""

PAGE = 1000
"""Nodes that one answer lists at most."""

MAINTENANCE_REASON = "story"
"""Of maintenance that a story asks for."""


class _Unready(LabTrouble):
    """What the story needs isn't there in time."""

    def __init__(self, what: str, state: str) -> None:
        super().__init__(f"{what} is {state} still, {PREPARED_S:.0f} s after the story was to begin")
        self.state = state


class Client:
    """Speaks REST alone, and writes into the trace what it asked for and what it was told."""

    def __init__(self, stage: Stage, story: Story) -> None:
        self._stage = stage
        self._story = story
        self._told: dict[str, tuple[str, str]] = {}  # instance or node → state, node
        self._placed: dict[str, str] = {}  # instance → node
        self._flavors: set[str] = set()
        self._refused: set[str] = set()  # instances
        self._switched = 0

    # --- before the story ----------------------------------------------------------------------

    async def prepare(self) -> None:
        """Images are there, nodes are enrolled. Raises LabTrouble when that fails: faults come later. In the
        model the lab is seldom why; when it isn't, raises NotBegun."""
        try:
            await self._prepare()
        except (BadAnswer, NoAnswer, _Unready) as trouble:
            if self._stage.fidelity is not Fidelity.MODEL or self._explained(trouble):
                raise
            promise = "expectation" if isinstance(trouble, BadAnswer) else "deadline"
            raise NotBegun(promise, str(trouble)) from trouble

    def _explained(self, trouble: LabTrouble) -> bool:
        """Whether it may come of a fault that is in force still, or of the image server. Nothing explains a
        defect of the API's."""
        if isinstance(trouble, _Unready) and trouble.state == "saving":
            return True
        told = [event for event in self._stage.trace if event.source == "fault"]
        injected, healed = (sum(one.name == name for one in told) for name in ("injected", "healed"))
        return not isinstance(trouble, BadAnswer) and injected > healed

    async def _prepare(self) -> None:
        end_s = self._stage.now_s() + PREPARED_S
        for name in self._story.images:
            await self._register(name, end_s)
        for node in self._story.nodes:
            await self._must("POST", "/v1/nodes", node_entry(node, self._stage.fidelity))
        for node in self._story.nodes:
            while (view := await self.look_at_node(node.name))["state"] not in ENROLLED:
                await self._news_of(f"node {node.name}", view["state"], node.name, end_s)

    async def _register(self, name: str, end_s: float) -> None:
        for order in self._stage.image_orders(name):
            await self._must("POST", "/v1/images", order)
            while True:
                view = (await self._must("GET", f"/v1/images/{order['name']}")).body
                if view["state"] not in ("queued", "saving"):
                    break
                await self._news_of(f"image {name}", view["state"], order["name"], end_s)

    async def _news_of(self, what: str, state: str, name: str, end_s: float) -> None:
        if self._stage.now_s() > end_s:
            raise _Unready(what, state)
        await self._stage.news(name)

    async def _must(self, method: str, path: str, body: Any = None) -> Answer:
        answer = await self._stage.call(method, path, body)
        # 409: an answer that was lost, and what it told is there.
        if answer.status >= 400 and answer.status != 409:
            raise BadAnswer(method, path, answer)
        return answer

    # --- requests ------------------------------------------------------------------------------

    # Each raises BadAnswer when something else than a refusal comes in the place of what was asked for.

    async def deploy(self, request: Deploy) -> str:
        """The instance's last state: active, error, deleted; or "refused"."""
        parts = {"ephemeral_mib": request.ephemeral_mib, "swap_mib": request.swap_mib}
        self._asked(
            "deploy",
            request.node,
            instance=request.instance,
            image=request.image,
            wipe=request.wipe,
            **{name: mib for name, mib in parts.items() if mib},
        )
        flavor = await self._flavor(request)
        body: dict[str, Any] = {
            "name": request.instance,
            "flavor": flavor,
            "image": request.image,
            "wipe": request.wipe,
            "proof_of_life": request.proof_of_life,
            "public_key": self._stage.public_key,
        }
        if request.node:
            body["node"] = request.node
        answer = await self._stage.call("POST", "/v1/instances", body, key=_key("deploy", request.instance))
        if answer.status >= 400:
            self._asked(
                "refused", request.node, instance=request.instance, problem=answer.body.get("code", "")
            )
            refusal = _refusal("POST", "/v1/instances", answer)
            self._refused.add(request.instance)
            return refusal
        return await self.instance_becomes(request.instance, "active", "error", "deleted")

    async def _flavor(self, request: Deploy) -> str:
        beside = {"swap_mib": request.swap_mib, "ephemeral_mib": request.ephemeral_mib}
        name = f"swap-{request.swap_mib}-ephemeral-{request.ephemeral_mib}"
        if name not in self._flavors:
            await self._must("POST", "/v1/flavors", {"name": name, **beside, **SMALLEST})
            self._flavors.add(name)
        return name

    async def delete(self, request: Delete) -> str:
        """The node's next state that is none of a cleaning: available, clean_failed, one that the next
        instance gave it; or "" when the instance never had one, or was refused itself; or "refused"."""
        path = f"/v1/instances/{request.instance}"
        while (view := await self._stage.call("GET", path)).status != 200:
            if request.instance in self._refused:
                return ""
            await self._stage.news(request.instance)  # its deploy was asked for and not accepted yet
        node = view.body.get("node") or ""
        self._placed[request.instance] = node
        self._asked("delete", node, instance=request.instance)
        answer = await self._stage.call("DELETE", path)
        if answer.status >= 400:
            return _refusal("DELETE", path, answer)
        await self.instance_becomes(request.instance, "deleted")
        return await self.node_becomes(node, *CLEANED, "clean_failed") if node else ""

    async def clean(self, node: str) -> None:
        """What an operator does about a node that failed to clean, once it is mended."""
        self._asked("clean", node)
        await self._stage.call("POST", f"/v1/nodes/{node}/clean")

    async def put_back(self, node: str) -> None:
        """Into service: what an operator does about one that was at fault, once it is mended."""
        self._asked("maintenance", node, on=False)
        await self._stage.call("DELETE", f"/v1/nodes/{node}/maintenance")

    async def power(self, request: Power) -> str:
        """How the request for it ended: done, failed, "refused"."""
        self._asked("power", request.node, verb=request.verb)
        self._switched += 1
        key = _key("power", f"{request.node} {self._switched}")
        path, body = f"/v1/nodes/{request.node}/power", {"verb": request.verb}
        answer = await self._stage.call("POST", path, body, key=key)
        if answer.status >= 400:
            self._switching_ended(request, "refused", answer.body["code"])
            return _refusal("POST", path, answer)
        path = f"/v1/nodes/{request.node}/requests/{answer.body['id']}"
        while (view := await self._view(path))["state"] == "pending":
            await self._stage.news(request.node)
        self._switching_ended(request, view["state"], view["answer"])
        return str(view["state"])

    def _switching_ended(self, request: Power, state: str, answer: str) -> None:
        detail = {"verb": request.verb, "state": state, "answer": answer}
        self._add("client", "power", request.node, detail)

    async def maintenance(self, request: Maintenance) -> str:
        self._asked("maintenance", request.node, on=request.on)
        method = "PUT" if request.on else "DELETE"
        body = {"reason": MAINTENANCE_REASON} if request.on else None
        path = f"/v1/nodes/{request.node}/maintenance"
        answer = await self._stage.call(method, path, body)
        return "done" if answer.status < 400 else _refusal(method, path, answer)

    def node_of(self, instance: str) -> str:
        """Where an instance was that was deleted."""
        return self._placed[instance]

    # --- looking: each raises BadAnswer --------------------------------------------------------

    async def instance_becomes(self, name: str, *wanted: str) -> str:
        while True:
            view = await self.look_at_instance(name)
            if view["state"] in wanted:
                return str(view["state"])
            await self._stage.news(name)

    async def node_becomes(self, name: str, *wanted: str) -> str:
        while True:
            view = await self.look_at_node(name)
            if view["state"] in wanted:
                return str(view["state"])
            await self._stage.news(name)

    async def look_at_instance(self, name: str) -> Mapping[str, Any]:
        view = await self._view(f"/v1/instances/{name}")
        node = str(view.get("node") or "")
        self._tell(f"instance {name}", "instance", node, {"instance": name, **_state(view)})
        return view

    async def look_at_node(self, name: str) -> Mapping[str, Any]:
        view = await self._view(f"/v1/nodes/{name}")
        self._tell(f"node {name}", "node", name, _state(view))
        return view

    async def look_at_nodes(self) -> list[Mapping[str, Any]]:
        """All of them, a page after the other."""
        views: list[Mapping[str, Any]] = []
        whole, after = True, ""
        while whole:
            page = (await self._view(f"/v1/nodes?limit={PAGE}{after}"))["items"]
            views += page
            whole, after = len(page) == PAGE, f"&after={page[-1]['id']}" if page else ""
        for view in views:
            self._tell(f"node {view['name']}", "node", view["name"], _state(view))
        return views

    async def _view(self, path: str) -> Mapping[str, Any]:
        answer = await self._stage.call("GET", path)
        if answer.status != 200:
            raise BadAnswer("GET", path, answer)
        view: Mapping[str, Any] = answer.body
        return view

    def _tell(self, key: str, name: str, node: str, detail: Mapping[str, Any]) -> None:
        """Each change of state once."""
        if self._told.get(key) != (detail["state"], node):
            self._told[key] = (detail["state"], node)
            self._add("client", name, node, detail)

    def _asked(self, name: str, node: str, **detail: Any) -> None:
        self._add("request", name, node, detail)

    def _add(self, source: str, name: str, node: str, detail: Mapping[str, Any]) -> None:
        self._stage.trace.add(
            Event(
                t_s=self._stage.now_s(),
                origin=Origin.STAGE,
                source=source,
                name=name,
                node=node,
                detail=detail,
            )
        )


def _state(view: Mapping[str, Any]) -> dict[str, str]:
    failure = view.get("failure")
    return {"state": view["state"], **({"failure": failure["code"]} if failure else {})}


def _refusal(method: str, path: str, answer: Answer) -> str:
    """ "refused". Raises BadAnswer: what the API can't answer for a defect of its own, it hasn't refused."""
    if answer.status >= 500:
        raise BadAnswer(method, path, answer)
    return "refused"


def boot_driver(node: StoryNode) -> str:
    """Who serves what it starts with: those of boards have their firmware's name."""
    if node.firmware in ("uboot", "tilera"):
        return node.firmware
    return "grub" if node.arch == "arm64" else "ipxe"


def node_entry(node: StoryNode, fidelity: Fidelity) -> dict[str, Any]:
    """As POST /v1/nodes takes it."""
    return {
        "name": node.name,
        "arch": node.arch,
        "firmware": node.firmware,
        "vcpus": node.cpus,
        "memory_mib": node.memory_mib,
        "disk_mib": 0 if node.is_tile else node.disk_mib,
        "ports": [{"mac": node.mac}],
        "boot": boot_driver(node),
        "deploy": "nfs" if node.by_nfs else node.deploy,
        "power": _power(node),
    }


def _power(node: StoryNode) -> dict[str, Any]:
    feeds = [
        {
            "driver": "snmp",
            "family": feed.pdu.family,
            "address": feed.pdu.address,
            "outlets": [feed.outlet],
            "community": feed.pdu.community,
        }
        for feed in node.feeds
    ]
    match feeds:
        case []:
            user, password = node.bmc_user, node.bmc_password
            return {"driver": "ipmi", "address": node.bmc_address, "user": user, "password": password}
        case [only]:
            return only
        case _:
            return {"driver": "feeds", "feeds": feeds}


def _key(verb: str, name: str) -> str:
    """An idempotency key: the request may have to be sent again to a provisioner that died over it."""
    return hashlib.sha256(f"{verb} {name}".encode()).hexdigest()[:32]
