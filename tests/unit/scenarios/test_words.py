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
