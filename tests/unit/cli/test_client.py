"""What the CLI asks of the API, as it stands on the wire."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Listener

pytestmark = pytest.mark.wire


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("key", "delete", "prod?old"), "DELETE /v1/keys/prod%3Fold"),
        (("token", "delete", "a#b"), "DELETE /v1/tokens/a%23b"),
        (("instance", "delete", "web?x"), "DELETE /v1/instances/web%3Fx"),
        (("instance", "show", "a b%41"), "GET /v1/instances/a%20b%2541"),
        (("instance", "console", "web#1"), "GET /v1/instances/web%231/console?tail_bytes=1048576"),
        (("instance", "wait", "web?x"), "GET /v1/instances/web%3Fx"),
        (("node", "maintenance", "n1?", "off"), "DELETE /v1/nodes/n1%3F/maintenance"),
        (("node", "delete", "a?b"), "DELETE /v1/nodes/a%3Fb"),
        (("node", "delete", "a?b", "--unwiped"), "DELETE /v1/nodes/a%3Fb?unwiped=true"),
        (("image", "delete", "a?b"), "DELETE /v1/images/a%3Fb"),
        (("host", "forget", "a?b"), "DELETE /v1/hosts/a%3Fb"),
        (("flavor", "show", "a?b"), "GET /v1/flavors/a%3Fb"),
        (("user", "set-role", "a?b", "reader"), "PUT /v1/users/a%3Fb"),
        (("access-key", "delete", "a?b"), "DELETE /v1/access-keys/a%3Fb"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_name_is_asked_for_as_it_is_written(listener: Listener, words: tuple[str, ...], asked: str) -> None:
    listener.run(*words, exit_code=1)
    assert listener.asked == [asked]
