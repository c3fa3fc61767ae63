"""No secret in a log, an answer or a timeline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event
from scenarios.runner.verdict import Breach

SHORTEST = 6
"""Shorter ones are found everywhere."""


class NoSecretTold:
    """Passwords of BMCs, CHAP secrets, tokens of agents and instances: looked for at the end of the story in
    everything that was told."""

    name = "no_secret_told"
    sources: tuple[str, ...] = ()

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        return ()

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        forms = {form for secret in look.secrets() if len(secret) >= SHORTEST for form in written(secret)}
        for where, text in look.told():
            if any(form in text for form in forms):
                # Not which: a report is told further than a log.
                yield Breach(promise=self.name, what=f"a secret stands in {where}", at_s=now_s)


def written(secret: str) -> Iterator[str]:
    """As it stands in a text, in an address, in a dump, and within what was written in base64: there its
    letters depend on where in the text they begin."""
    yield secret
    yield quote(secret, safe="")
    yield secret.encode().hex()
    for before in range(3):
        encoded = b64encode(bytes(before) + secret.encode()).decode().rstrip("=")
        bits = 8 * (before + len(secret.encode()))
        yield encoded[-(-8 * before // 6) : bits // 6]
