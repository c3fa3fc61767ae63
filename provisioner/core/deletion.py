"""What is left of an instance that is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.core.states import InstanceState

DELETED: Mapping[str, Any] = {"state": InstanceState.DELETED, "user_data": "", "public_key": ""}
"""Its fields that change. It is known for months after; what was for its machine alone, up to 16 KiB each, is
not: who makes instances and deletes them, again and again, would fill the database up with it."""
