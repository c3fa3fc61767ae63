"""What proves that an instance runs, as it is written in configuration and requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from provisioner.config.words import Word
from provisioner.core.console_pattern import wrong_with


def _is_proof(word: str) -> str:
    kind, _, pattern = word.partition(":")
    if word in ("phone_home", "ssh_banner"):
        return word
    if kind == "console" and pattern:
        if wrong := wrong_with(pattern):
            raise ValueError(f"{pattern[:100]!r} can't be looked for on consoles: {wrong}")
        return word
    raise ValueError(f"{word[:100]!r} is not phone_home, ssh_banner or console:<regular expression>")


ProofOfLife = Annotated[Word, AfterValidator(_is_proof)]
