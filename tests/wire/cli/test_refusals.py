"""What commands refuse, by which exit code, and what they say of files, names, tokens and URLs."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.serving import serving
from tests.wire.cli.conftest import Service

pytestmark = pytest.mark.wire


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

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Stranger)) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        assert "isn't the provisioner's API" in service.refused(5, "--url", url, "node", "list")


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
