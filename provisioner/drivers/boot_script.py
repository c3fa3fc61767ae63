"""Boot scripts are templates beside their drivers, with words between @ to be filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from provisioner.core.model import PublicationKind
from provisioner.protocols.boot import BootEntry

_TEMPLATES = {
    PublicationKind.AGENT: "kernel",
    PublicationKind.INSTANCE: "kernel",
    PublicationKind.LOCAL_DISK: "local_disk",
}
_WHAT = {
    PublicationKind.AGENT: "the deploy ramdisk",
    PublicationKind.INSTANCE: "its instance",
    PublicationKind.LOCAL_DISK: "its own disk",
}


def filled_in(folder: str, suffix: str, entry: BootEntry, words: Mapping[str, str]) -> str:
    """The script for what is published, of those in `folder`; `words` are a dialect's own."""
    name = f"{_TEMPLATES[entry.kind]}.{suffix}"
    known = {
        "NODE": entry.node_name,
        "WHAT": _WHAT[entry.kind],
        "COMMAND_LINE": entry.command_line,
        **words,
    }
    return re.sub(r"@([A-Z_]+)@", lambda word: known[word[1]], _template(folder, name))


@cache
def _template(folder: str, name: str) -> str:
    return resources.files("provisioner.drivers").joinpath(folder, name).read_text(encoding="utf-8")
