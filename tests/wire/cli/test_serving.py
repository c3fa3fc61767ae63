"""The process that serves: its configuration, its keys, its end and its next start."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import signal
import socket
from pathlib import Path

import pytest

from tests.wire.cli.conftest import DEADLINE_S, Service, eventually, serving, watched
from tests.wire.services.descriptors import descriptors_limited_to

pytestmark = pytest.mark.wire


def test_the_configuration_that_the_environment_names_is_checked(service: Service) -> None:
    assert service.json("config", "check")["state_dir"] == str(service.state)


def test_a_provisioner_that_lacks_its_key_file_does_not_start(own_service: Service) -> None:
    own_service.json("access-key", "create")
    assert own_service.end(signal.SIGTERM) == 0
    key = own_service.state / "secret.key"
    key.rename(key.with_suffix(".aside"))
    for role in ("serve", "api", "compute"):
        refused = own_service.process(role)
        told = refused.communicate(timeout=DEADLINE_S)[1]
        assert refused.returncode == 1
        assert f"find the key file {key}: it isn't there" in told
        assert ("Traceback" in told, key.exists()) == (False, False)
    key.with_suffix(".aside").rename(key)
    own_service.start()


def test_a_client_on_the_socket_that_says_nothing_holds_nobody_up(own_service: Service) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(str(own_service.socket))
        assert own_service.cli("host", "list").code == 0
        assert own_service.end(signal.SIGTERM) == 0


def test_who_still_sends_an_image_at_the_end_is_told_to_send_it_again(own_service: Service) -> None:
    token = (own_service.state / "admin.token").read_text().strip()
    by_token = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    order = json.dumps({"name": "slow", "kind": "kernel"})
    with contextlib.closing(http.client.HTTPConnection("here", timeout=DEADLINE_S)) as client:
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(str(own_service.socket))
        client.request("POST", "/v1/images", order, by_token)
        image = json.loads(client.getresponse().read())
        client.request(
            "PUT", f"/v1/images/{image['id']}/content", bytes(1024), {**by_token, "Content-Length": "4096"}
        )
        eventually("its bytes come", lambda: own_service.json("image", "show", "slow")["state"] == "saving")
        assert own_service.end(signal.SIGTERM) == 0
        answer = client.getresponse()
        told = json.loads(answer.read())
    assert (answer.status, told["code"], answer.getheader("Retry-After")) == (503, "ending", "1")
    assert "Send it again" in told["advice"]
    assert "Traceback" not in (own_service.folder / "serve.log").read_text()


def test_a_killed_provisioner_keeps_what_was_asked_of_it(own_service: Service) -> None:
    own_service.register_images()
    own_service.json("instance", "create", "web", "--image", "root")
    own_service.end(signal.SIGKILL)
    assert "doesn't answer" in own_service.refused(5, "instance", "list")
    own_service.start()
    own_service.enrol("n1")
    done = own_service.cli("instance", "wait", "web")
    assert done.code == 0, done.err
    assert own_service.json("instance", "show", "web")["node"] == "n1"


def test_a_configuration_is_checked_without_anything_being_started(service: Service, tmp_path: Path) -> None:
    assert service.json("config", "check", str(service.config))["host"]["name"] == "here"
    bad = tmp_path / "bad.yaml"
    bad.write_text(service.config.read_text().replace("rack: fake", "rack: imaginary"))
    for words in (("config", "check", str(bad)), ("serve", "--config", str(bad))):
        told = service.refused(2, *words)
        assert "bad.yaml" in told
        assert "rack" in told


def test_it_opens_as_many_files_as_it_may(tmp_path_factory: pytest.TempPathFactory) -> None:
    with descriptors_limited_to(512), serving(tmp_path_factory.mktemp("p")) as service:
        assert service.serving is not None
        soft, hard = resource.prlimit(service.serving.pid, resource.RLIMIT_NOFILE)
        assert soft == min(hard, 65_536) > 512


def test_a_second_provisioner_on_the_same_state_is_refused_by_name(service: Service) -> None:
    with watched(service.process("serve", "--config", str(service.config))) as second:
        _, told = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "uses it" in told
    assert "Traceback" not in told


def test_keys_are_rotated_while_the_provisioner_runs(service: Service) -> None:
    made = service.json("access-key", "create")
    (before,) = service.json("secrets", "status")
    assert before["secrets"] >= 1
    assert service.json("secrets", "rotate")["sealed_anew"] == before["secrets"]
    new, old = service.json("secrets", "status")
    assert (new["seals"], new["secrets"], old["secrets"]) == (True, before["secrets"], 0)
    assert "Wait a minute" in service.refused(4, "secrets", "retire")
    assert "none of this id" in service.refused(3, "secrets", "rotate", "--to", "nokey")
    told = [(one["operation"], one["outcome"]) for one in service.json("audit", "list")]
    assert {("secrets rotate", "done"), ("secrets retire", "failed:conflict")} <= {*told}
    service.json("access-key", "delete", made["id"])


def test_a_key_file_that_is_missing_is_made_by_no_command(service: Service) -> None:
    """Processes that run would take the new one up, and drop the keys that they have."""
    file = service.state / "secret.key"
    kept = file.rename(service.folder / "kept.key")
    try:
        for words in (("status",), ("add-key",), ("rotate",), ("retire",)):
            assert "Restore it from a backup" in service.refused(1, "secrets", *words)
        assert not file.exists()
    finally:
        kept.rename(file)
