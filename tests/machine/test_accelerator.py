"""What tells KVM from TCG is a real kernel: it comes up by the probe's own command line."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from bmsim.backends.accelerator import why_not
from provisioner.ramdisk import build, default_cache
from provisioner.ramdisk.recipe import Kernel

pytestmark = pytest.mark.machine

LONG_S = 300.0


@pytest.mark.parametrize("which", get_args(Kernel))
def test_a_kernel_of_ours_comes_up(which: Kernel) -> None:
    """Under TCG: everything about it but the accelerator is as with KVM."""
    kernel = build("amd64", default_cache(), kernel=which).kernel
    assert why_not(kernel, LONG_S, accel="tcg", cpu="max") is None


def test_what_is_no_kernel_does_not(tmp_path: Path) -> None:
    nothing = tmp_path / "vmlinuz"
    nothing.write_bytes(b"\0" * 65536)
    why = why_not(nothing, 3.0, accel="tcg", cpu="max")
    assert why == "a kernel under TCG did not come up within 3 s"
