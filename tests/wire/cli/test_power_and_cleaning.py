"""Commands that switch machines and have them wiped, against a provisioner with its rack in memory."""

from __future__ import annotations

import pytest

from tests.wire.cli.conftest import Service, eventually

pytestmark = pytest.mark.wire


def test_a_machine_is_stopped_started_and_restarted_by_its_instances_name(service: Service) -> None:
    assert service.cli("instance", "create", "web", "--image", "root", "--node", "n1", "--wait").code == 0
    assert service.json("instance", "show", "web")["power"] == "running"
    assert "power" not in service.cli("instance", "list").out
    assert service.cli("instance", "stop", "web").out == "web: stopped\n"
    assert service.json("instance", "show", "web")["power"] == "stopped"
    assert "stopped" in service.cli("instance", "list").out
    assert "Start it (provisioner instance start)" in service.refused(4, "instance", "reboot", "web")
    assert service.json("instance", "start", "web")["power"] == "running"
    assert service.cli("instance", "reboot", "web").out == "web: restarted\n"
    assert service.json("instance", "stop", "--force", "web")["power"] == "stopped"
    assert "Clean a node that is available" in service.refused(4, "node", "clean", "n1")
    assert service.cli("instance", "delete", "web", "--wait").code == 0
    assert "it is deleted" in service.refused(4, "instance", "stop", "web")
    eventually("n1 is available", lambda: service.json("node", "show", "n1")["state"] == "available")


def test_an_available_node_is_cleaned_and_told_of_when_it_has_ended(service: Service) -> None:
    cleaned = service.cli("node", "clean", "n1", "--wipe", "full", "--wait")
    assert (cleaned.code, cleaned.out) == (0, "n1: available\n")
    told = [event["text"] for event in service.json("node", "events", "n1") if event["step"] == "wipe"]
    assert any(text.startswith("full wipe of 1 disk") for text in told)
    assert service.json("node", "show", "n1")["inventory"]["traits"] == []
