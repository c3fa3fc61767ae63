from __future__ import annotations

import json
import os
import pty
import resource
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.wire.cli.conftest import DEADLINE_S, PROVISIONER, Service, eventually, serving
from tests.wire.services.descriptors import descriptors_limited_to

pytestmark = pytest.mark.wire


def test_a_machine_is_asked_for_watched_and_given_back(service: Service) -> None:
    made = service.cli("instance", "create", "web", "--image", "root", "--node", "n1", "--wait")
    assert made.code == 0, made.err
    lines = made.out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["publish_boot", "set_boot_device", "power_on"]
    assert all(line.startswith("✓") for line in lines[:-1])
    assert lines[-1].startswith("web is active at 10.0.1.")
    shown = service.json("instance", "show", "web")
    assert (shown["state"], shown["node"]) == ("active", "n1")
    assert shown["timeline"][0]["name"] == "node.claimed"
    gone = service.cli("instance", "delete", "web", "--wait")
    assert gone.code == 0, gone.err
    assert "publish_boot" not in gone.out
    assert gone.out.splitlines()[-1] == "web: deleted"
    eventually("n1 is available", lambda: service.json("node", "show", "n1")["state"] == "available")


def test_json_is_all_there_is_on_standard_output(service: Service) -> None:
    made = service.cli("instance", "create", "as-json", "--image", "root", "--node", "n2", "--wait", "--json")
    assert json.loads(made.out)["state"] == "active"
    assert "instance_running" in made.err
    for words in (
        ("node", "list"),
        ("image", "list"),
        ("flavor", "list"),
        ("key", "list"),
        ("token", "list"),
    ):
        assert isinstance(service.json(*words), list)
    assert service.json("node", "power", "n2", "status")["answer"] == "power is on"
    assert service.json("instance", "delete", "as-json", "--wait")["state"] == "deleted"
    eventually("n2 is available", lambda: service.json("node", "show", "n2")["state"] == "available")


def test_maintenance_has_a_column_while_there_is_some(service: Service) -> None:
    assert service.json("node", "maintenance", "n1", "on", "--reason", "new [PSU]")["maintenance"] is True
    assert "new [PSU]" in service.cli("node", "list").out
    assert service.json("node", "maintenance", "n1", "off")["maintenance"] is False
    assert "maintenance" not in service.cli("node", "list").out


def test_a_node_is_reserved_and_let_go(service: Service) -> None:
    service.json("node", "reserve", "n1", "default")
    assert service.json("node", "show", "n1")["reserved_for"] == "default"
    assert "nobody" in service.refused(3, "node", "reserve", "n1", "nobody")
    assert service.json("node", "unreserve", "n1")["reserved_for"] == ""


def test_disks_of_a_node_are_corrected(service: Service) -> None:
    words = ("--keep-disk", "model=SC16G,serial=0x1c07", "--root-device", "path=/dev/vda")
    kept = [{"model": "SC16G", "serial": "0x1c07"}]
    assert service.json("node", "disks", "n1", *words)["keep_disks"] == kept
    shown = service.json("node", "show", "n1")
    assert (shown["root_device"], shown["keep_disks"]) == ({"path": "/dev/vda"}, kept)
    assert "serial 0x1c07, model SC16G" in service.cli("node", "show", "n1").out
    assert "seriall" in service.refused(2, "node", "disks", "n1", "--root-device", "seriall=A")
    assert "each once" in service.refused(2, "node", "disks", "n1", "--keep-disk", "SC16G")
    shown = service.json("node", "disks", "n1", "--no-keep-disks", "--no-root-device")
    assert (shown["root_device"], shown["keep_disks"]) == ({}, [])


def test_the_power_device_of_a_node_is_corrected_and_checked(service: Service, tmp_path: Path) -> None:
    file = service.folder / "nodes.yaml"
    done = service.cli("node", "power-device", "n1", "-f", str(file))
    assert (done.code, done.out) == (0, "n1: available\n"), done.err
    steps = [event["step"] for event in service.json("node", "events", "n1") if event["name"] == "step.done"]
    assert steps.count("verify_power") > 1
    others = [node for node in yaml.safe_load(file.read_text())["nodes"] if node["name"] != "n1"]
    (tmp_path / "others.yaml").write_text(yaml.safe_dump({"nodes": others}))
    told = service.refused(2, "node", "power-device", "n1", "-f", str(tmp_path / "others.yaml"))
    assert "has no node n1" in told


def test_each_kind_of_refusal_has_its_exit_code(service: Service, tmp_path: Path) -> None:
    assert "n7" in service.refused(3, "node", "show", "n7")
    assert "n1" in service.refused(4, "node", "enroll", "-f", str(service.folder / "nodes.yaml"))
    service.refused(2, "node", "power", "n1", "explode")
    service.refused(2, "node", "enroll", "-f", str(tmp_path / "nothing.yaml"))
    service.refused(2, "image", "register", "x", "--kind", "disk")
    (tmp_path / "nodes.yaml").write_text("nodes:\n  - name: n9\n")
    assert "line 2, nodes[0].arch" in service.refused(2, "node", "enroll", "-f", str(tmp_path / "nodes.yaml"))
    (tmp_path / "key").write_text("no key")
    assert "key type" in service.refused(2, "key", "add", "me", "--file", str(tmp_path / "key"))
    assert "127.0.0.1:1" in service.refused(5, "--url", "http://127.0.0.1:1", "node", "list")
    assert "nowhere" in service.refused(5, "--token-file", str(tmp_path / "nowhere"), "node", "list")
    (tmp_path / "token").write_text("wrong")
    assert "token" in service.refused(1, "--token-file", str(tmp_path / "token"), "node", "list")


@pytest.mark.parametrize(
    "name", ["", "..", "n1?x=1", "n1#x", "n1/events", "../instances/web", "%6e1", "n\n1"]
)
def test_what_is_nothings_name_leads_to_nothing_else(service: Service, name: str) -> None:
    code, told = (2, "nothing's name") if not name or "/" in name or ".." in name else (3, "")
    for words in (("node", "show"), ("node", "delete"), ("flavor", "delete"), ("host", "show")):
        assert told in service.refused(code, *words, name)
    assert service.json("node", "show", "n1")["name"] == "n1"


def test_a_token_that_is_none_is_told_of_by_its_file_and_not_repeated(
    service: Service, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    for text, told in (("", "it is empty"), ("hidden\nwords", "it isn't a token's text")):
        token.write_text(text)
        refused = service.refused(5, "--token-file", str(token), "node", "list")
        assert (told in refused, str(token) in refused, "hidden" in refused) == (True, True, False)
    token.write_text("unknown")
    assert str(token) in service.refused(1, "--token-file", str(token), "node", "list")


@pytest.mark.parametrize("url", ["here", "127.0.0.1:8776", "http://", "unix:", "ftp://here"])
def test_an_url_that_is_none_is_no_provisioner_that_does_not_answer(service: Service, url: str) -> None:
    assert "http://host:port" in service.refused(2, "--url", url, "node", "list")


@pytest.mark.parametrize("body", [b"<html>welcome", b'{"hello": "world"}', b"[]"])
def test_what_answers_and_is_no_provisioner_is_told_of(service: Service, body: bytes) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert "isn't the provisioner's API" in service.refused(5, "--url", url, "node", "list")
        finally:
            server.shutdown()
            serving.join()


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


UNREADABLE = Path("/proc/self/mem")
"""A regular file that even root can open and not read from its beginning (proc(5)): an I/O error."""


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("nothing", "can't be read: No such file or directory"),
        ("a-folder", "is a folder: name a regular file by --file"),
        (str(UNREADABLE), "can't be read: Input/output error"),
        ("/dev/null", "is a device or a pipe"),
    ],
)
def test_an_image_whose_file_cannot_be_read_is_refused_before_it_is_registered(
    service: Service, tmp_path: Path, what: str, told: str
) -> None:
    (tmp_path / "a-folder").mkdir()
    words = ("image", "register", "unread", "--kind", "disk", "--file", str(tmp_path / what))
    assert told in service.refused(2, *words)
    service.refused(3, "image", "show", "unread")


def test_a_folder_is_no_image_whatever_its_checksum_is_said_to_be(service: Service, tmp_path: Path) -> None:
    words = ("--kind", "disk", "--file", str(tmp_path), "--sha256", "ab" * 32)
    assert "is a folder" in service.refused(2, "image", "register", "unread", *words)
    service.refused(3, "image", "show", "unread")


def test_a_file_of_any_other_command_that_cannot_be_read_is_told_by_its_option(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for file, told in ((tmp_path, "Is a directory"), (tmp_path / "binary", "invalid start byte at byte 0")):
        key = service.refused(2, "key", "add", "unread", "--file", str(file))
        assert told in key
        assert "by --file" in key
        words = ("--image", "root", "--user-data", str(file))
        data = service.refused(2, "instance", "create", "unread", *words)
        assert told in data
        assert "by --user-data" in data
        assert str(file) in service.refused(2, "node", "enroll", "-f", str(file))
        assert str(file) in service.refused(2, "config", "check", str(file))
        assert "by --token-file" in service.refused(5, "--token-file", str(file), "node", "list")
    service.refused(3, "instance", "show", "unread")


def test_an_image_that_is_not_what_was_promised_is_the_images_fault(service: Service, tmp_path: Path) -> None:
    bad = tmp_path / "bad.raw"
    bad.write_bytes(b"x" * 512 * 100)
    told = service.refused(
        1, "image", "register", "bad", "--kind", "disk", "--file", str(bad), "--sha256", "ab" * 32
    )
    assert "checksum" in told
    assert service.json("image", "show", "bad")["state"] == "error"
    service.json("image", "delete", "bad")
    assert service.json("image", "register", "bad", "--kind", "disk", "--file", str(bad))["state"] == "active"
    service.json("image", "delete", "bad")


def test_an_upload_refused_in_its_midst_says_why(service: Service, tmp_path: Path) -> None:
    """Larger than any image may be: refused by its length alone, while the client still sends."""
    huge = tmp_path / "huge.raw"
    with huge.open("wb") as file:
        file.truncate(2**41)
    words = ("--kind", "disk", "--file", str(huge), "--sha256", "ab" * 32)
    told = service.refused(1, "image", "register", "huge", *words)
    assert "larger than" in told
    service.json("image", "delete", "huge")


def test_nodes_of_a_file_that_can_be_enrolled_are_and_the_others_are_named(
    service: Service, tmp_path: Path
) -> None:
    nodes = yaml.safe_load((service.folder / "nodes.yaml").read_text())["nodes"]
    nodes.append(nodes[0] | {"name": "n3", "ports": [{"mac": "52:54:00:00:00:33"}]})
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump({"nodes": nodes}))
    told = service.refused(4, "node", "enroll", "-f", str(tmp_path / "nodes.yaml"), "--wait")
    assert told.count("is taken") == 2
    assert {node["name"] for node in service.json("node", "list")} == {"n1", "n2", "n3"}
    service.json("node", "delete", "n3")


def test_a_console_is_followed_as_it_speaks_until_ctrl_c(service: Service) -> None:
    node = service.json("node", "show", "n1")["id"]
    log = service.state / "consoles" / f"{node}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("before\n")
    with watched(service.process("node", "console", "n1", "--follow")) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "before\n"
        with log.open("a") as file:
            file.write("after\n")
        assert following.stdout.readline() == "after\n"
        following.send_signal(signal.SIGINT)
        _, told = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "Traceback" not in told
    assert service.cli("node", "console", "n1").out == "before\nafter\n"


@contextmanager
def watched(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ended in any case, and in time: whoever reads from it then reads its end."""
    killer = threading.Timer(DEADLINE_S, process.kill)
    killer.start()
    try:
        yield process
    finally:
        killer.cancel()
        process.kill()
        process.wait()


def test_ctrl_c_ends_the_watching_and_not_the_request(service: Service) -> None:
    words = ("instance", "create", "patient", "--image", "root", "--flavor", "huge", "--wait")
    with watched(service.process(*words)) as watching:
        assert watching.stdout is not None
        assert "999 are needed" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "provisioner instance wait patient" in told
    assert service.json("instance", "show", "patient")["state"] == "requested"
    service.json("instance", "delete", "patient")


def test_an_instance_that_is_not_there_in_time_is_said_to_be_where_it_is(service: Service) -> None:
    words = (
        "instance",
        "create",
        "late",
        "--image",
        "root",
        "--flavor",
        "huge",
        "--wait",
        "--timeout",
        "0.5",
    )
    assert "late is still requested" in service.refused(1, *words)
    service.json("instance", "delete", "late")


def test_a_machine_boots_with_the_kernel_and_ramdisk_that_are_named(service: Service) -> None:
    parts = {}
    for kind in ("kernel", "ramdisk"):
        file = service.folder / f"other-{kind}"
        file.write_bytes(f"other {kind}".encode() * 512)
        made = service.json("image", "register", f"other-{kind}", "--kind", kind, "--file", str(file))
        parts[f"{kind}_id"] = made["id"]
    words = ("--image", "root", "--flavor", "huge", "--kernel", "other-kernel", "--ramdisk", "other-ramdisk")
    made = service.json("instance", "create", "booted", *words)
    assert made.items() >= parts.items()
    service.json("instance", "delete", "booted")


def test_on_a_terminal_it_is_drawn_and_its_cursor_comes_back(service: Service) -> None:
    ours, theirs = pty.openpty()
    argv = service.argv("instance", "create", "drawn", "--image", "root", "--wait")
    drawing = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env={**service.environment, "TERM": "xterm"}
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := _read(ours):
            said += chunk
        assert drawing.wait(timeout=30) == 0
    finally:
        drawing.kill()
        drawing.wait()
        os.close(ours)
    service.json("instance", "delete", "drawn", "--wait")
    text = said.decode()
    assert "✓" in text
    assert "active" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: nobody has the other end any longer (pty(7))
        return b""


def test_a_reader_that_has_enough_is_no_error_to_shout_about(service: Service) -> None:
    line = f"{PROVISIONER} openapi | head -n 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr


def test_secrets_are_for_their_owner_only(service: Service) -> None:
    for path in (service.state / "admin.token", service.state / "secret.key", service.socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    token = (service.state / "admin.token").read_text().strip()
    assert token not in (service.folder / "serve.log").read_text()
    assert token.encode() not in b"".join(path.read_bytes() for path in service.state.glob("provisioner.db*"))


def test_a_client_on_the_socket_that_says_nothing_holds_nobody_up(own_service: Service) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(str(own_service.socket))
        assert own_service.cli("host", "list").code == 0
        assert own_service.end(signal.SIGTERM) == 0


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


def test_shells_are_taught_to_complete_commands(service: Service) -> None:
    environment = {
        **service.environment,
        "_PROVISIONER_COMPLETE": "complete_bash",
        "COMP_WORDS": "provisioner node e",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [PROVISIONER], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert {"enroll", "events"} <= set(done.stdout.split())


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


def test_users_of_tenants_are_bound_to_their_roles(service: Service) -> None:
    service.json("tenant", "create", "blue")
    service.json("user", "create", "ann", "--tenant", "blue", "--role", "reader")
    token = service.folder / "ann.token"
    token.write_text(service.json("token", "create", "ann", "--user", "ann")["token"])
    as_ann = ("--token-file", str(token))
    assert [image["name"] for image in service.json(*as_ann, "image", "list")]
    assert "takes the role operator" in service.refused(1, *as_ann, "node", "list")
    refusal = service.json("audit", "list", "--user", "ann", "--outcome", "refused")[-1]
    assert (refusal["operation"], refusal["tenant"]) == ("GET /v1/nodes", "blue")
    assert service.json("user", "set-role", "ann", "operator")["role"] == "operator"
    assert service.json(*as_ann, "node", "list")
    service.json("user", "delete", "ann")
    service.json("tenant", "delete", "blue")
    assert [tenant["name"] for tenant in service.json("tenant", "list")] == ["default"]
