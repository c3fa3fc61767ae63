"""The rack of a story: its machines, by what reaches them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.bmc import ModelBmc
from scenarios.runner.model.contents import LIBRARY, ImageServer
from scenarios.runner.model.feeds import ModelFeeds
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.node import ModelNode, Note
from scenarios.runner.model.roots import SharedRoots
from scenarios.runner.model.tile import TileSystem
from scenarios.runner.model.wires import Wires
from scenarios.runner.model.world_time import chance
from scenarios.runner.story import Story


class ModelRack:
    """note(node, source, name, sender, **detail): told of what devices see."""

    def __init__(
        self,
        story: Story,
        wires: Wires,
        hosts: Callable[[], Sequence[ModelHost]],
        images: ImageServer,
        note: Note,
        seed: int,
        roots: SharedRoots,
    ) -> None:
        self._by_address: dict[str, ModelNode] = {}  # whoever took it last
        self._nodes = {
            node.name: ModelNode(
                *(node, wires, hosts, images, note, self._took_address),
                *(chance(seed, f"machine {node.name}"), roots),
            )
            for node in story.nodes
        }
        self._by_bmc = {node.bmc_address: self._nodes[node.name] for node in story.nodes if not node.feeds}
        self.feeds = ModelFeeds(story, lambda node, on: self._nodes[node].powered(on), note)

    def _took_address(self, node: ModelNode) -> None:
        self._by_address[node.address] = node

    def node(self, name: str) -> ModelNode:
        return self._nodes[name]

    def printed(self, name: str) -> str:
        node = self._nodes.get(name)
        return "".join(node.system.printed) if node is not None else ""

    def bmc_at(self, address: str) -> ModelBmc | None:
        node = self._by_bmc.get(address)
        return node.bmc if node is not None else None

    def _at(self, address: str) -> ModelNode | None:
        """The node that has this address now, if its NIC works."""
        known = self._by_address.get(address)
        return known if known is not None and known.passes() else None

    def name_at(self, address: str) -> str:
        known = self._by_address.get(address)
        return known.name if known is not None else ""

    def agent_at(self, address: str) -> ModelAgent | None:
        node = self._at(address)
        return node.system.agent if node is not None else None

    def refuses_at(self, address: str) -> bool:
        node = self._at(address)
        return node is not None and bool(node.system.image)

    def serves_ssh(self, address: str) -> bool:
        node = self._at(address)
        if node is None or (node.tile is not None and not node.tile.sshd):
            return False
        content = LIBRARY.get(node.system.image)
        return content is not None and content.ssh

    def pings_at(self, address: str) -> bool:
        node = self._at(address)
        return node is not None and (node.system.agent is not None or bool(node.system.image))

    def tile_at(self, address: str) -> TileSystem | None:
        """The board that is up there."""
        node = self._at(address)
        return node.tile if node is not None and node.system.image else None
