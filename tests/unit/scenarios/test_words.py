from __future__ import annotations

from pathlib import Path

from scenarios.runner.words import in_words
from tests.unit.scenarios.files import SOUND, scenario


def test_all_that_is_asked_and_breaks_is_told(tmp_path: Path) -> None:
    asked = (
        "{deploy: n1, image: tiny, swap_mib: 64, ephemeral_mib: 32, proof_of_life: [phone_home, ssh_banner]}"
    )
    text = SOUND.replace("{deploy: n1, image: tiny}", asked).replace("{name: n1}", "{name: n1, deploy: nfs}")
    text = text.replace("{do: bmc.busy, with: {count: 2}, ", "{do: db.slow, may_miss: true, ")
    told = in_words(scenario(tmp_path, text))
    for part in (
        "BMC 10.78.0.101, root by NFS\n",
        "64 MiB of swap, 32 MiB of ephemeral storage, proven by phone_home or ssh_banner\n",
        "db.slow strikes the rack: ",
        "; heals when everything heals; the story counts without it too\n",
    ):
        assert part in told


def test_what_bounds_a_node_and_what_one_fidelity_alone_tells_is_told(tmp_path: Path) -> None:
    text = SOUND.replace("state: active}", "state: active, within: deploy_deadline}")
    differs = 'differs: [{only: machine, what: tftp kernel.gz, node: n1, why: "it has files"}]'
    told = in_words(scenario(tmp_path, f"{text}fidelities: [model, machine]\n{differs}\n"))
    assert "  node n1 ends active, within the deploy deadline\n" in told
    assert "  tftp kernel.gz of n1 at machine alone: it has files\n" in told
