from __future__ import annotations

import json
import signal

import pytest

from provisioner.cli.exits import UNREACHABLE
from tests.wire.cli.conftest import Service

pytestmark = pytest.mark.wire


def test_who_starts_it_may_wait_until_it_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first start too, before there is a token to ask with."""
    service = Service(tmp_path_factory.mktemp("p"))
    told = service.refused(UNREACHABLE, "ready", "--timeout", "0")
    assert "admin.token" in told
    waiting = service.process("ready", "--json")
    service.start()
    try:
        out, err = waiting.communicate(timeout=60)
        assert (waiting.returncode, json.loads(out)) == (0, {"ready": True}), err
    finally:
        assert service.end(signal.SIGTERM) == 0
    assert "doesn't answer" in service.refused(UNREACHABLE, "ready", "--timeout", "0")
