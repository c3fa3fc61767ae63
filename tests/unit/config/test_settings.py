from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType

import pytest

from provisioner.app.boundary import boundary_of, nfs_of
from provisioner.config.nfs_folder import nfs_folder_fault
from provisioner.config.reference import page
from provisioner.config.settings import SHORTEST_LEASE_S, Settings
from provisioner.config.source import parse
from provisioner.core.errors import InvalidInput
from provisioner.drivers import ipmi, outlet_http, outlet_iboot, snmp
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import GaneshaService
from provisioner.services.system import RandomIds, SystemClock

NETWORK = (
    "network: {interface: prov0, address: 10.77.0.10, subnet: 10.77.0.0/24, pool: 10.77.0.100-10.77.0.199}"
)


def settings(text: str = "") -> Settings:
    return parse(f"{NETWORK}\n{text}", Settings, "provisioner.yaml")


def refusal(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(text, Settings, "provisioner.yaml")
    return caught.value


def test_the_network_is_all_that_must_be_said() -> None:
    found = settings()
    assert found.api.listen == "127.0.0.1:8776"
    assert found.database_url == "sqlite:////var/lib/provisioner/provisioner.db"
    assert found.host.name
    assert refusal("{}").field == "network"


def test_files_are_in_the_state_folder_unless_they_are_put_elsewhere() -> None:
    found = settings("state_dir: /srv/p\nsecret_key_file: /etc/p.key")
    assert found.token_file == Path("/srv/p/admin.token")
    assert found.secret_key == Path("/etc/p.key")


def test_a_lease_shorter_than_a_power_command_is_refused() -> None:
    for power in ("commands: {lab: /bin/lab}, command_timeout_s: 30", "snmp_timeout_s: 30"):
        error = refusal(f"{NETWORK}\nhost: {{lease_ttl_s: 20}}\npower: {{{power}}}")
        assert "make the lease longer, 31 s or more" in error.message
        assert settings(f"host: {{lease_ttl_s: 31}}\npower: {{{power}}}").lease_ttl_s == 31


def test_a_command_that_leaves_the_database_no_time_of_the_lease_is_refused() -> None:
    database = "database: 'postgresql+psycopg://db.example/p'"
    error = refusal(f"{NETWORK}\n{database}\npower: {{commands: {{lab: /bin/lab}}, command_timeout_s: 4.9}}")
    assert (
        "line 3, power.command_timeout_s: 4.9 s leaves less than 1 s of host.lease_ttl_s, 5 s"
        in error.message
    )
    assert settings(f"{database}\npower: {{commands: {{lab: /bin/lab}}}}").power.command_timeout_s == 4


def test_the_longest_command_is_that_of_the_slowest_device_that_can_be_used() -> None:
    assert settings().longest_command_s == 4
    programs, board = "commands: {lab: /bin/lab}, ", "tilera: {monitor: /bin/monitor, command_timeout_s: 12}"
    for used, longest_s in (("", 4), (programs, 9)):
        power = f"power: {{{used}command_timeout_s: 9}}"
        assert settings(f"host: {{lease_ttl_s: 20}}\n{power}").longest_command_s == longest_s
    assert settings(f"host: {{lease_ttl_s: 20}}\n{board}").longest_command_s == 12


def test_the_reference_has_the_bounds_of_a_lease() -> None:
    assert f"| `host.lease_ttl_s` | number, {SHORTEST_LEASE_S:g} to 600 |" in page()


@pytest.mark.parametrize("driver", [ipmi, snmp, outlet_http, outlet_iboot])
def test_a_lease_without_room_for_a_drivers_longest_command_is_refused(
    driver: ModuleType,
) -> None:
    error = refusal(f"{NETWORK}\nhost: {{lease_ttl_s: {driver.LONGEST_COMMAND_S}}}")
    assert error.field == "host.lease_ttl_s"
    assert "a command to a BMC or a PDU may take 4 s" in error.message
    assert "it must be 5 s or more" in error.message


@pytest.mark.parametrize(
    "api",
    [
        "listen: '127.0.0.2:1'",
        "listen: 'localhost:1'",
        "listen: '0.0.0.0:1', tls: {}",
        "listen: '10.0.0.1:1', insecure_http: true",
    ],
)
def test_plain_http_is_spoken_where_nobody_listens_in_or_somebody_says_so(api: str) -> None:
    assert settings(f"api: {{{api}}}")


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("api: {listen: localhost}", "api.listen", ""),
        ("api: {listen: '0.0.0.0:8776'}", "api", "`tls: {}` after `provisioner tls init`"),
        ("api: {listen: 'rack.example:8776'}", "api", "or insecure_http"),
        ("state_dir: var", "state_dir", "not an absolute path"),
        ("host: {lease_ttl_s: 1}", "host.lease_ttl_s", ""),
        ("host: {name: 'a b'}", "host.name", ""),
        ("deploy: {boot_deadline_s: -1}", "deploy.boot_deadline_s", ""),
        ("deploy: {proof_of_life: []}", "deploy.proof_of_life", ""),
        ("deploy: {proof_of_life: [hope]}", "deploy.proof_of_life[0]", "console:<regular expression>"),
        ("deploy: {proof_of_life: ['console:(']}", "deploy.proof_of_life[0]", "missing )"),
        ("ramdisks: {sparc: {kernel: /k, ramdisk: /r}}", "ramdisks.sparc", ""),
        ("log: {level: loud}", "log.level", "debug"),
        ("colour: red", "colour", ""),
        ("database: 'mysql://root:sesame@db/x'", "database", "none that is known: use sqlite:////path"),
        ("database: 'postgresql://root:sesame@db/x'", "database", "none that is known"),
        ("database: 'sqlite:///here.db'", "database", "none that is known"),
        ("database: ''", "database", "none that is known"),
        ("database: 'postgresql+psycopg://root:sesame@db/x'", "database", "use database_password_file"),
        ("database: 'postgresql+psycopg://db/x?password=sesame'", "database", "use database_password_file"),
        ("database: 'postgresql+psycopg://root:sesame@[db/x'", "database", "the address can't be read"),
        ("deploy: {boot_deadline_s: .inf}", "deploy.boot_deadline_s", "finite"),
    ],
)
def test_what_cannot_be_used_is_told_by_line_and_field(text: str, field: str, told: str) -> None:
    error = refusal(f"{NETWORK}\n{text}")
    assert field in error.field
    assert "line 2" in error.message
    assert told in error.message
    assert "sesame" not in error.message


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////srv/p.db",
        "memory:",
        "postgresql+psycopg://provisioner@db:5432/provisioner",
        "postgresql+psycopg://provisioner@/x?host=/run/postgresql",
    ],
)
def test_a_database_that_can_be_opened_is_taken(url: str) -> None:
    assert settings(f"database: '{url}'").database_url == url


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("10.77.0.100-10.77.0.199", "everything", "network.pool: the pool 'everything' is not FIRST-LAST"),
        ("10.77.0.100-10.77.0.199", "10.77.0.199-10.77.0.100", "not a range"),
        ("10.77.0.100-10.77.0.199", "10.99.0.1-10.99.0.9", "not a range inside 10.77.0.0/24"),
        ("10.77.0.100-10.77.0.199", "10.77.0.5-10.77.0.50", "10.77.0.10 lies in the pool"),
        (
            "address: 10.77.0.10",
            "address: 10.99.0.10",
            "network.address: our own address 10.99.0.10 is not in 10.77.0.0/24",
        ),
        (
            "10.77.0.100-10.77.0.199",
            "10.77.0.0-10.77.0.9",
            "10.77.0.0, which nobody in 10.77.0.0/24 can have",
        ),
        ("10.77.0.100-10.77.0.199", "10.77.0.100-10.77.0.255", "10.77.0.255, which nobody"),
        ("pool:", "gateway: 10.77.0.150, pool:", "network.gateway: the gateway 10.77.0.150 lies in the pool"),
        ("pool:", "gateway: 10.99.0.1, pool:", "the gateway 10.99.0.1 is not in"),
        ("prov0", "a-name-too-long-for-linux", "network.interface"),
        ("10.77.0.0/24", "10.77.0.1/24", "network.subnet"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused(old: str, new: str, told: str) -> None:
    assert told in refusal(NETWORK.replace(old, new)).message


def test_a_link_of_two_has_two_addresses() -> None:
    """RFC 3021."""
    text = "network: {interface: p, address: 10.77.0.0, subnet: 10.77.0.0/31, pool: 10.77.0.1-10.77.0.1}"
    network = parse(text, Settings, "provisioner.yaml").network
    assert not network.fault(network.pool_range[0])


def test_with_another_dhcp_server_nodes_may_reach_us_over_a_router() -> None:
    text = NETWORK.replace("address: 10.77.0.10", "address: 10.99.0.10, serve_dhcp: false")
    assert not parse(text, Settings, "provisioner.yaml").network.serve_dhcp


@pytest.mark.parametrize(
    ("state_dir", "folder", "beside"),
    [
        ("/none/p", "/none/roots", "one file system with the system's files, /"),
        ("/dev/shm/p", "/dev/shm/roots/there/are/none/yet", "one file system with state_dir"),
        ("/dev/shm/p", None, "/dev/shm/p/roots lies on one file system with state_dir"),
        ("/none/p", "/dev/shm/roots", None),
    ],
)
def test_roots_by_nfs_lie_on_a_file_system_of_their_own(
    state_dir: str, folder: str | None, beside: str | None
) -> None:
    def fault(server: str) -> InvalidInput | None:
        nfs = f"server: {server}" + (f", folder: {folder}" if folder else "")
        return nfs_folder_fault(settings(f"state_dir: {state_dir}\nnfs: {{{nfs}}}"))

    assert fault("none") is None
    for server in ("kernel", "ganesha"):
        found = fault(server)
        assert (found is None) == (beside is None)
        if found is not None and beside is not None:
            assert found.field == "nfs.folder"
            assert beside in found.message
            assert "Mount a file system of its own there" in found.message


@pytest.mark.parametrize("server", ["kernel", "ganesha"])
def test_no_nfs_server_is_begun_with_beside_the_systems_own_files(server: str) -> None:
    async def story() -> None:
        found = settings(f"nfs: {{server: {server}, folder: /none/roots}}")
        with pytest.raises(InvalidInput, match=r"keep roots by NFS apart.*nfs\.nodes_trusted"):
            async with boundary_of(found, lambda event: None, SystemClock(), RandomIds(), SystemChildren()):
                pass

    asyncio.run(story())


@pytest.mark.parametrize("name", ["my roots", "roots,2", 'the "roots"', "tab\troots"])
def test_roots_whose_names_a_command_line_cannot_hold_are_exported_by_ganesha_alone(
    name: str, tmp_path: Path
) -> None:
    def server(kind: str) -> object:
        found = settings(f"nfs: {{server: {kind}, folder: {tmp_path / 'link'}}}")
        return nfs_of(found, SystemChildren(), SystemClock())[0]

    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(name)
    assert isinstance(server("ganesha"), GaneshaService)
    with pytest.raises(InvalidInput, match=r"no room for a blank.*nfs\.server to ganesha") as caught:
        server("kernel")
    assert caught.value.field == "nfs.folder"


def test_every_field_is_explained() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    unexplained = [row for row in rows if not row.split("|")[4].strip()]
    assert not unexplained
