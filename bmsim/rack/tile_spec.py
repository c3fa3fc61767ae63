"""tilepro64 boards of a rack file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from bmsim.rack.part import Part

ARCH = "tilepro64"

DEFAULTS: Mapping[str, Any] = {"firmware": "tilera", "vcpus": 64, "memory_mib": 16218, "tile": {}}
"""What such a board has: 64 cores in a mesh of 8 by 8, and 16,218 MB.
Source: OpenStack nova, doc/source of its bare-metal driver for Tilera (2012): instance type tp64.8x8."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    return path


class Tile(Part):
    boot_s: Annotated[
        float,
        Field(ge=0, le=3600, description="How long it is silent until it answers a ping; as in reality."),
    ] = 100.0
    monitor_s: Annotated[
        float,
        Field(ge=0, le=60, description="How long its monitor takes to begin with a command."),
    ] = 0.0
    address_by: Annotated[
        Literal["dhcp", "bootp"],
        Field(description="How it asks for its address and what to boot: by DHCP, or by BOOTP (RFC 951)."),
    ] = "dhcp"
    compact_flash: Annotated[
        Annotated[Path, AfterValidator(_absolute)] | None,
        Field(description="The kernel in its CompactFlash; without one it fetches its kernel by TFTP."),
    ] = None


def with_defaults(given: Any) -> Any:
    """A node of a rack file, with what its architecture says of itself."""
    if isinstance(given, Mapping) and given.get("arch") == ARCH:
        return {**DEFAULTS, **given}
    return given
