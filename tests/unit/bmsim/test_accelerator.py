"""KVM or TCG: what is believed of this system, by what a kernel under KVM did in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bmsim.backends.accelerator import REACHED, Accelerator, accelerator

QEMU = """#!/bin/sh
echo "$$" >> {started}
for word; do
    case $word in file:*) serial=${{word#file:}} ;; esac
done
{does}
"""
COMES_UP = f"echo 'Kernel panic - not syncing: {REACHED.decode()}' > \"$serial\""
ENDS_EARLY = "echo 'SeaBIOS, Booting from ROM...' > \"$serial\"; exit 1"
HANGS = "echo 'Booting from ROM...' > \"$serial\"; exec sleep infinity"

DEADLINE_S = 10.0
"""For a script that has nothing to wait for; in vain, it is all of it that a defect costs."""

Found = Callable[..., Accelerator]


class System:
    """One that has /dev/kvm, a kernel, and a QEMU that does as it is told."""

    def __init__(self, folder: Path) -> None:
        self.device = folder / "kvm"
        self.boot = folder / "boot"
        self.answers = folder / "answers"
        self.programs = folder / "programs"
        self._started = folder / "started"
        self.device.touch()
        self.boot.mkdir()
        (self.boot / "vmlinuz-6.1").touch()
        self.programs.mkdir()

    def qemu(self, does: str) -> None:
        program = self.programs / "qemu-system-x86_64"
        program.write_text(QEMU.format(started=self._started, does=does))
        program.chmod(0o755)

    @property
    def started(self) -> list[int]:
        """Each QEMU that was."""
        return [int(line) for line in self._started.read_text().split()] if self._started.exists() else []

    def accelerator(self, deadline_s: float = DEADLINE_S) -> Accelerator:
        return accelerator(self.answers, device=self.device, boot=self.boot, deadline_s=deadline_s)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    system = System(tmp_path)
    monkeypatch.setenv("PATH", f"{system.programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return system


def test_a_kernel_that_comes_up_makes_it_kvm(system: System) -> None:
    system.qemu(COMES_UP)
    found = system.accelerator()
    assert found == Accelerator(True, "a kernel came up under KVM")
    assert str(found) == "KVM: a kernel came up under KVM"


def test_a_kernel_that_hangs_is_ended_at_its_deadline_and_makes_it_tcg(system: System) -> None:
    system.qemu(HANGS)
    found = system.accelerator(deadline_s=0.3)
    assert found == Accelerator(False, "a kernel under KVM did not come up within 0.3 s")
    assert str(found).startswith("TCG (emulated processors): ")
    assert not any(Path(f"/proc/{pid}").exists() for pid in system.started)


def test_a_kernel_that_ends_before_it_has_come_up_makes_it_tcg(system: System) -> None:
    system.qemu(ENDS_EARLY)
    assert system.accelerator() == Accelerator(False, "a kernel under KVM ended before it had come up")


def test_without_qemu_it_is_tcg(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(system.programs))
    assert system.accelerator() == Accelerator(False, "QEMU did not start: No such file or directory")


def test_without_dev_kvm_nothing_is_tried(system: System) -> None:
    system.qemu(COMES_UP)
    system.device.unlink()
    assert system.accelerator() == Accelerator(False, f"there is no {system.device}")
    assert system.started == []


def test_without_a_kernel_nothing_is_tried_until_there_is_one(system: System, tmp_path: Path) -> None:
    system.qemu(COMES_UP)
    (system.boot / "vmlinuz-6.1").unlink()
    assert system.accelerator() == Accelerator(
        False, f"there is no readable kernel in {system.boot} to try KVM with"
    )
    assert system.started == []
    image = tmp_path / "cache/provisioner/images/tiny"
    image.mkdir(parents=True)
    (image / "kernel").touch()
    assert system.accelerator().kvm


@pytest.mark.parametrize("does", [COMES_UP, ENDS_EARLY])
def test_the_answer_is_kept_for_as_long_as_this_system_runs(system: System, does: str) -> None:
    system.qemu(does)
    first = system.accelerator()
    assert system.accelerator() == first
    assert len(system.started) == 1


@pytest.mark.parametrize("known", ['{"boot_id": "another", "kvm": false, "reason": "then"}', "{}", "garbled"])
def test_what_was_found_before_this_boot_or_cannot_be_read_is_found_out_again(
    system: System, known: str
) -> None:
    system.qemu(COMES_UP)
    system.answers.mkdir()
    (system.answers / "accelerator.json").write_text(known)
    assert system.accelerator().kvm
    assert json.loads((system.answers / "accelerator.json").read_text())["kvm"] is True
