"""No secret in a log, an answer or a timeline."""

from __future__ import annotations

from collections.abc import Iterable

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
        secrets = [secret for secret in look.secrets() if len(secret) >= SHORTEST]
        for where, text in look.told():
            if any(secret in text for secret in secrets):
                # Not which: a report is told further than a log.
                yield Breach(promise=self.name, what=f"a secret stands in {where}", at_s=now_s)
