"""Commands that do what they say, to a provisioner with its rack in memory."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.wire.cli.conftest import PROVISIONER, Service, eventually

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


def test_nodes_of_a_file_that_can_be_enrolled_are_and_the_others_are_named(
    service: Service, tmp_path: Path
) -> None:
    nodes = yaml.safe_load((service.folder / "nodes.yaml").read_text())["nodes"]
    nodes.append(nodes[0] | {"name": "n3", "ports": [{"mac": "52:54:00:00:00:33"}]})
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump({"nodes": nodes}))
    told = service.refused(4, "node", "enroll", "-f", str(tmp_path / "nodes.yaml"), "--wait")
    assert told.count("of this name is enrolled") == 2
    assert {node["name"] for node in service.json("node", "list")} == {"n1", "n2", "n3"}
    service.json("node", "delete", "n3")


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


def test_secrets_are_for_their_owner_only(service: Service) -> None:
    for path in (service.state / "admin.token", service.state / "secret.key", service.socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    token = (service.state / "admin.token").read_text().strip()
    assert token not in (service.folder / "serve.log").read_text()
    assert token.encode() not in b"".join(path.read_bytes() for path in service.state.glob("provisioner.db*"))


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
