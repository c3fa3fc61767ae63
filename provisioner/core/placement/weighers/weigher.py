"""What a weigher is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from provisioner.core.model import Node


class Standing(NamedTuple):
    """A free node among the others.

    on_its_pdus:     how many free nodes hang on the one of its PDUs that has the fewest; 0: it has a BMC
    in_its_rack:     how many stand in its rack; 0: nobody said which it is
    deploys_of_host: how many its compute host, which serves their images, has under way
    """

    node: Node
    on_its_pdus: int
    in_its_rack: int
    deploys_of_host: int


Weigher = Callable[[Standing], Any]
"""The node for which it is smallest goes first."""
