"""One call, as its handler sees it, and what an operation is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.api.context import ApiContext
from provisioner.core.ec2_ids import account_of
from provisioner.protocols.store import Tx

Members = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """given: the members of the request, by the model's names. prepared: what `Operation.prepare` made."""

    context: ApiContext
    tenant: str
    given: Members
    prepared: Any = None

    @property
    def account(self) -> str:
        return account_of(self.tenant)

    @property
    def zone(self) -> str:
        return f"{self.context.region}a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """handle:  answers with the members of the operation's output, in one transaction, that a dry run undoes
    takes:   members of its input that mean something here; DryRun always does
    ignores: members that change nothing here, so that clients may send them
    prepare: work that takes time, done in a thread before the transaction
    once:    for each signature, unless the request has a ClientToken: a second one would do something else
    """

    handle: Callable[[Tx, Call], Members]
    takes: frozenset[str] = frozenset()
    ignores: frozenset[str] = frozenset()
    prepare: Callable[[Mapping[str, Any]], Any] | None = None
    once: bool = False


def takes(*names: str) -> frozenset[str]:
    return frozenset(names)
