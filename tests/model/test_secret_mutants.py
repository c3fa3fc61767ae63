"""A provisioner that tells a secret on purpose: by whatever its log is told, the promise's guard says so."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest
import structlog

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.outcome import Outcome
from tests.model.mutants import DEPLOY, broken_promises, replace_steps, story


def by_name(secret: str) -> None:
    structlog.get_logger().info("exported", secret=secret)


def by_what_is_bound_to_the_task(secret: str) -> None:
    with structlog.contextvars.bound_contextvars(target=secret):
        structlog.get_logger().info("exported")


def by_the_header_of_a_request(secret: str) -> None:
    said = b64encode(f"admin:{secret}".encode()).decode()
    structlog.get_logger().info("asked", header=f"Basic {said}")


def in_an_address(secret: str) -> None:
    structlog.get_logger().info("asked", url=f"http://pdu/config/{b64encode(secret.encode()).decode()}")


def in_numbers(secret: str) -> None:
    structlog.get_logger().info("sent", data=secret.encode().hex())


def failed(secret: str) -> RuntimeError:
    """By another failure, which alone knows the secret."""
    try:
        try:
            raise ValueError(f"bad secret {secret}")
        except ValueError as error:
            raise RuntimeError("not exported") from error
    except RuntimeError as error:
        return error


def by_a_traceback(secret: str) -> None:
    try:
        raise failed(secret)
    except RuntimeError:
        structlog.get_logger().exception("not.exported")


def by_the_cause_of_an_error(secret: str) -> None:
    structlog.get_logger().error("not.exported", exc_info=failed(secret))


@pytest.mark.parametrize(
    "tell",
    [
        *(by_name, by_what_is_bound_to_the_task, by_the_header_of_a_request, in_an_address, in_numbers),
        *(by_a_traceback, by_the_cause_of_an_error),
    ],
)
def test_a_logged_secret_is_caught(tell: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    export = worker.STEPS["export_disk"]

    async def export_and_tell(ctx: StepContext) -> Outcome:
        outcome = await export(ctx)
        assert ctx.target is not None
        tell(ctx.target.chap_password)
        return outcome

    replace_steps(monkeypatch, {"export_disk": export_and_tell})
    assert broken_promises(story(DEPLOY)) == {"no_secret_told"}


def test_an_error_without_a_secret_is_logged_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    export = worker.STEPS["export_disk"]

    async def export_and_tell(ctx: StepContext) -> Outcome:
        by_the_cause_of_an_error("that nobody has")
        return await export(ctx)

    replace_steps(monkeypatch, {"export_disk": export_and_tell})
    assert broken_promises(story(DEPLOY)) == set()
