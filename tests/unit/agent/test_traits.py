from __future__ import annotations

from pathlib import Path

from provisioner.agent.traits import traits


def test_flags_that_all_processors_have_are_traits(tmp_path: Path) -> None:
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    proc.mkdir()
    (sys / "class/tpm/tpm0").mkdir(parents=True)
    (sys / "class/nvme").mkdir()
    (proc / "cpuinfo").write_text("processor: 0\nflags\t\t: lm avx2 sse\n\nprocessor: 1\nflags\t\t: lm sse\n")
    assert traits(tmp_path) == ["cpu_lm", "cpu_sse", "tpm"]
    (proc / "cpuinfo").write_text("processor\t: 0\nFeatures\t: neon vfpv4\n")
    (sys / "firmware/efi").mkdir(parents=True)
    assert traits(tmp_path) == ["cpu_neon", "cpu_vfpv4", "tpm", "uefi"]
