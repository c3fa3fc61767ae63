"""What flavors may require of a machine, or forbid: features of its processor, and parts that it has."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/")
# /proc/cpuinfo calls the list flags on x86, Features on arm.
LISTS = ("flags", "Features")


def traits(root: Path = ROOT) -> list[str]:
    """`cpu_FLAG` as the kernel names them, and `tpm`, `nvme`, `uefi` where there is one. Sorted."""
    found = {f"cpu_{flag}" for flag in _flags(root / "proc/cpuinfo")}
    parts = {"tpm": "class/tpm", "nvme": "class/nvme"}
    found |= {name for name, folder in parts.items() if _has_any(root / "sys" / folder)}
    if (root / "sys/firmware/efi").exists():
        found.add("uefi")
    return sorted(found)


def _flags(cpuinfo: Path) -> set[str]:
    """Those that all processors have."""
    sets = []
    for line in cpuinfo.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in LISTS:
            sets.append(set(value.split()))
    return set.intersection(*sets) if sets else set()


def _has_any(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
