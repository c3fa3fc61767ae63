"""What is sent again when its answer is lost, for how long, and what is told when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli.client import Client
from provisioner.cli.exits import FAILED, INTERRUPTED, UNREACHABLE, CliError
from provisioner.cli.repeating import GIVEN_UP_S, MOST_PAUSE_S, Patience
from tests.ports import free_port
from tests.unit.cli.conftest import Listener

pytestmark = pytest.mark.wire

MANY = 1000


class FakeTime:
    """Passes by pauses alone."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.patience = Patience(self.sleep, lambda: self.now_s)
        self.then: Callable[[], None] = lambda: None  # while the first pause lasts

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        if len(self.pauses) == 1:
            self.then()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def client(listener: Listener, time: FakeTime) -> Client:
    listener.status, listener.answer = 201, {"id": "one"}
    return Client(listener.url, listener.token, patience=time.patience)


def order(client: Client) -> Any:
    return client.post("/v1/instances", {"name": "web"})


def refused(call: Callable[[], Any]) -> CliError:
    with pytest.raises(CliError) as caught:
        call()
    return caught.value


def test_an_order_whose_answer_is_lost_is_sent_again_with_its_key(
    client: Client, listener: Listener, time: FakeTime
) -> None:
    listener.lost = 2
    assert order(client) == {"id": "one"}
    assert listener.sent == [{"name": "web"}] * 3
    assert len(set(listener.keys)) == 1 and listener.keys[0]
    assert len(time.pauses) == 2 and 0 < time.pauses[0] < time.pauses[1]


def test_an_order_is_sent_again_when_the_api_says_so_and_not_before_it_says(
    client: Client, listener: Listener, time: FakeTime
) -> None:
    listener.busy = 2
    assert order(client) == {"id": "one"}
    assert len(set(listener.keys)) == 1
    assert time.pauses == [1.0, 1.0]


def test_another_order_has_another_key(client: Client, listener: Listener) -> None:
    order(client)
    order(client)
    assert len(set(listener.keys)) == 2


def test_an_order_that_is_given_up_tells_the_key_to_repeat_it_by(
    client: Client, listener: Listener, time: FakeTime
) -> None:
    listener.lost = MANY
    error = refused(lambda: order(client))
    assert error.code == UNREACHABLE
    assert "doesn't answer" in str(error)
    assert f"--idempotency-key {listener.keys[0]}," in str(error)
    assert len(set(listener.keys)) == 1
    assert GIVEN_UP_S - MOST_PAUSE_S < sum(time.pauses) <= GIVEN_UP_S
    assert max(time.pauses) <= MOST_PAUSE_S


def test_an_order_that_the_api_has_no_time_for_tells_the_key_too(client: Client, listener: Listener) -> None:
    listener.busy = MANY
    error = refused(lambda: order(client))
    assert error.code == FAILED
    assert "too many wait. The order" in str(error) and f"--idempotency-key {listener.keys[0]}," in str(error)


def test_an_order_that_may_have_arrived_is_sent_until_the_api_is_back(
    client: Client, listener: Listener, time: FakeTime
) -> None:
    listener.lost = 1
    time.then = listener.end
    error = refused(lambda: order(client))
    assert "refused" in str(error) and f"--idempotency-key {listener.keys[0]}," in str(error)
    assert sum(time.pauses) > GIVEN_UP_S - MOST_PAUSE_S


def test_an_order_that_is_interrupted_tells_its_key(
    client: Client, listener: Listener, time: FakeTime
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    listener.lost = 1
    time.then = interrupt
    error = refused(lambda: order(client))
    assert error.code == INTERRUPTED
    assert f"--idempotency-key {listener.keys[0]}," in str(error)


@pytest.mark.parametrize("where", ["http://127.0.0.1:{port}", "unix:{folder}/nothing.sock"])
def test_where_nobody_listens_that_is_told_at_once(tmp_path: Path, time: FakeTime, where: str) -> None:
    (tmp_path / "token").write_text("a-token")
    url = where.format(port=free_port(), folder=tmp_path)
    client = Client(url, tmp_path / "token", patience=time.patience)
    for call in (lambda: order(client), lambda: client.get("/v1/hosts")):
        error = refused(call)
        assert error.code == UNREACHABLE
        assert "doesn't answer" in str(error) and "--idempotency-key" not in str(error)
    assert time.pauses == []


def test_a_question_is_asked_again(client: Client, listener: Listener) -> None:
    listener.lost = 2
    assert client.get("/v1/hosts/a") == {"id": "one"}
    assert listener.asked == ["GET /v1/hosts/a"] * 3


def test_what_is_watched_outlasts_a_restart(client: Client, listener: Listener, time: FakeTime) -> None:
    """Who was answered before waits for it, though nobody listens for a while."""
    client.get("/v1/hosts/a")
    listener.end()
    assert "refused" in str(refused(lambda: client.get("/v1/hosts/a")))
    assert sum(time.pauses) > GIVEN_UP_S - MOST_PAUSE_S


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.put("/v1/hosts/a/drain", {}),
        lambda client: client.delete("/v1/keys/me"),
        lambda client: client.upload("/v1/images/a/content", iter([b"{}"]), 2),
        lambda client: client.post_for_secret("/v1/tokens", {"name": "ci"}, "Look for it."),
    ],
    ids=["put", "delete", "upload", "secret"],
)
@pytest.mark.parametrize("trouble", ["lost", "busy"])
def test_what_has_no_key_is_sent_once(
    client: Client, listener: Listener, time: FakeTime, call: Callable[[Client], Any], trouble: str
) -> None:
    setattr(listener, trouble, 1)
    refused(lambda: call(client))
    assert (len(listener.asked), time.pauses) == (1, [])


def test_a_secret_whose_answer_is_lost_tells_what_to_do(client: Client, listener: Listener) -> None:
    listener.lost = 1
    error = refused(lambda: client.post_for_secret("/v1/tokens", {"name": "ci"}, "Look for it."))
    assert str(error).endswith(" Look for it.")


def test_a_refusal_is_no_lost_answer(client: Client, listener: Listener, time: FakeTime) -> None:
    listener.status, listener.answer = 409, {"code": "conflict", "title": "the name is taken"}
    assert str(refused(lambda: order(client))) == "the name is taken"
    assert (len(listener.asked), time.pauses) == (1, [])
