"""Promises that hold in every story without being asked for, judged from devices and disks."""

from __future__ import annotations

from collections.abc import Callable

from scenarios.runner.invariants.active_node_untouched import ActiveNodeUntouched
from scenarios.runner.invariants.bytes_equal_image import BytesEqualImage
from scenarios.runner.invariants.disk_as_ordered import DiskAsOrdered
from scenarios.runner.invariants.invariant import Invariant, Look
from scenarios.runner.invariants.no_defect import NoDefect
from scenarios.runner.invariants.no_secret_told import NoSecretTold
from scenarios.runner.invariants.nothing_for_idle_nodes import NothingForIdleNodes
from scenarios.runner.invariants.off_when_offered import OffWhenOffered
from scenarios.runner.invariants.one_owner import OneOwner
from scenarios.runner.invariants.one_publisher import OnePublisher
from scenarios.runner.invariants.seen_running import SeenRunning
from scenarios.runner.invariants.wiped_before_offered import WipedBeforeOffered

INVARIANTS: tuple[Callable[[], Invariant], ...] = (
    OneOwner,
    OnePublisher,
    ActiveNodeUntouched,
    BytesEqualImage,
    DiskAsOrdered,
    SeenRunning,
    WipedBeforeOffered,
    OffWhenOffered,
    NothingForIdleNodes,
    NoSecretTold,
    NoDefect,
)
"""A new one of each watches each story. That no request is lost is seen by whoever waits for its end."""

__all__ = ["INVARIANTS", "Invariant", "Look"]
