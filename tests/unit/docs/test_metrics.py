"""The table of metrics in `docs/api.md` is written by hand; this holds it to the program."""

from __future__ import annotations

import re
from pathlib import Path

from provisioner.api.metrics import Metrics

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text().split("\n## Metrics\n")[1]
ROWS = [row.split("|")[1:3] for row in PAGE.splitlines() if row.startswith("| `")]
TOLD = {
    name: set(re.findall(r"`([a-z_]+)`", labels))
    for names, labels in ROWS
    for name in re.findall(r"`([a-z_]+)`", names)
}


def test_every_metric_is_told_with_its_labels_and_no_other() -> None:
    # A counter's series are called as it is, with a suffix of their own.
    exported = {
        one._name + ("_total" if one._type == "counter" else ""): set(one._labelnames)
        for one in Metrics().registry._collector_to_names
    }
    assert exported == TOLD
