"""The configuration file. `docs/configuration.md` is generated from here."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from provisioner.config.api_settings import Api, Audit, ImageUrls, Quota
from provisioner.config.network_settings import Network
from provisioner.config.proof_of_life import ProofOfLife
from provisioner.config.section import AbsolutePath, Seconds, Section
from provisioner.config.source import misplaced
from provisioner.core.errors import InvalidInput

LONGEST_COMMAND_S = 4.0
"""Of the power drivers that are our own."""

RENEWAL_S = 1.0
"""What must be left of a lease beside a command: it is counted from before the database was asked for it."""

SHORTEST_LEASE_S = LONGEST_COMMAND_S + RENEWAL_S


def _room_for_commands(lease_s: object) -> object:
    if isinstance(lease_s, int | float) and lease_s < SHORTEST_LEASE_S:
        raise ValueError(
            f"a command to a BMC or a PDU may take {LONGEST_COMMAND_S:g} s, and begins only if it ends "
            f"before the lease does, which is counted from before the database was asked for it: it must be "
            f"{SHORTEST_LEASE_S:g} s or more"
        )
    return lease_s


class Host(Section):
    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
            description="Name of this compute host, unique; by default this system's.",
        ),
    ] = Field(default_factory=socket.gethostname)
    lease_ttl_s: Annotated[
        Annotated[float, Field(ge=SHORTEST_LEASE_S, le=600), BeforeValidator(_room_for_commands)] | None,
        Field(
            description="How long this host may act without reaching the database, and how long others wait "
            "before they take its nodes over; longer than the longest command, by 1 s or more. "
            "Left out: 5; with SQLite, where there are no others, 60.",
        ),
    ] = None
    metrics_listen: Annotated[
        str | None,
        Field(
            pattern=r"^[^:]+:\d{1,5}$",
            description="Address and port of `/metrics` of this host's own services (plain HTTP, asked by "
            "anybody), for a process that serves no API. Left out: none.",
        ),
    ] = None
    drain_s: Annotated[
        float,
        Field(
            ge=0,
            le=86400,
            description="How long a host that is told to end (SIGTERM) goes on with deploys that have begun, "
            "before others take them over. It ends at once when there are no others.",
        ),
    ] = 30.0
    poll_s: Annotated[
        float | None,
        Field(
            ge=0.1,
            le=600,
            description="How often the database is looked at for work when no wake-up comes. Left out: 2; "
            "with PostgreSQL, which wakes who waits, 30.",
        ),
    ] = None


class Ramdisk(Section):
    kernel: Annotated[AbsolutePath, Field(description="Kernel of the deploy ramdisk.")]
    ramdisk: Annotated[AbsolutePath, Field(description="The deploy ramdisk.")]
    loader: Annotated[
        AbsolutePath | None, Field(description="Of arm64 with UEFI: GRUB, as it is built for netboot.")
    ] = None


class Deploy(Section):
    boot_deadline_s: Annotated[
        Seconds, Field(description="From power-on until the ramdisk's agent reports.")
    ] = 600
    boot_attempts: Annotated[int, Field(ge=1, le=10, description="Boots before a deploy fails.")] = 2
    resumed_deadline_s: Annotated[
        Seconds, Field(description="For a boot that began before a restart of ours; then it is begun again.")
    ] = 180
    write_deadline_s: Annotated[Seconds, Field(description="For writing, or reading back, an image.")] = 3600
    running_deadline_s: Annotated[
        Seconds, Field(description="From the reboot until the instance is seen.")
    ] = 900
    wipe_deadline_s: Annotated[Seconds, Field(description="For wiping a node's disks.")] = 14400
    power_confirm_s: Annotated[Seconds, Field(description="Until a change of power is confirmed.")] = 60
    power_patience_s: Annotated[Seconds, Field(description="How long a BMC may be silent or busy.")] = 180
    max_writes: Annotated[int, Field(ge=1, description="Images that this host writes at once.")] = 4
    proof_of_life: Annotated[
        tuple[ProofOfLife, ...],
        Field(min_length=1, description="Any of these proves that an instance runs."),
    ] = ("phone_home", "ssh_banner")


class Nfs(Section):
    server: Annotated[
        Literal["none", "ganesha", "kernel"],
        Field(description="Serves nodes their roots: nfs-ganesha, which we run, or this system's kernel."),
    ] = "none"
    folder: Annotated[
        AbsolutePath | None,
        Field(
            description="Where nodes' roots lie; by default roots in state_dir. On storage that compute hosts"
            " share if one is to take over another's nodes; on xfs or btrfs, where roots share what is alike;"
            " on a file system of its own, without which neither is begun with."
        ),
    ] = None
    nodes_trusted: Annotated[
        bool,
        Field(
            description="To try it out: the folder may lie beside this system's own files. Whoever is root on"
            " a node can then read and change all of these."
        ),
    ] = False


class Power(Section):
    refresh_s: Annotated[
        float,
        Field(ge=0, description="Idle nodes' power is asked for once in so long, spread over it; 0: never."),
    ] = 300
    refresh_at_once: Annotated[int, Field(ge=1, le=64, description="Idle nodes that are asked at once.")] = 4
    failures_to_leave_alone: Annotated[
        int, Field(ge=1, description="Failures in a row until a power device is left alone for a while.")
    ] = 5
    longest_pause_s: Annotated[
        float, Field(ge=10, description="A silent device is asked at least so often; in a deploy every 5 s.")
    ] = 120
    discharge_s: Annotated[
        float,
        Field(
            ge=0, le=600, description="How long a node on outlets stays off before it is on: it discharges."
        ),
    ] = 10
    snmp_timeout_s: Annotated[
        float,
        Field(
            ge=4,
            le=60,
            description="What a command to a PDU by SNMP may take, the wait for its turn included; less than "
            "host.lease_ttl_s, by 1 s or more. A PDU that needs longer for its answers may do a command "
            "after that.",
        ),
    ] = 4
    commands: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")], AbsolutePath],
        Field(
            description="Programs that switch outlets (driver `command`), by the names that nodes call them."
        ),
    ] = Field(default_factory=dict)
    command_timeout_s: Annotated[
        float,
        Field(
            ge=1,
            le=60,
            description="What such a program may take for all outlets of a node, one after the other; a "
            "third of it to wait for others of its PDU at most; less than host.lease_ttl_s, by 1 s or more.",
        ),
    ] = 4


class Tilera(Section):
    monitor: Annotated[
        AbsolutePath | None,
        Field(
            description="The vendor's tile-monitor, which gives Tilera boards their commands; bmsim has one "
            "for its own."
        ),
    ] = None
    command_timeout_s: Annotated[
        float,
        Field(ge=1, le=120, description="What it may take; less than host.lease_ttl_s, by 1 s or more."),
    ] = 20


class Console(Section):
    capture: Annotated[bool, Field(description="Record the consoles of nodes that are worked on.")] = True


class Timeline(Section):
    keep_days: Annotated[
        float,
        Field(
            ge=1,
            description="Older events are forgotten, and instances deleted before that (26 hours at least).",
        ),
    ] = 90
    keep_events: Annotated[
        int, Field(ge=100, description="Events that are kept of each node, the newest.")
    ] = 10_000


class Log(Section):
    format: Annotated[
        Literal["auto", "console", "json"], Field(description="auto: json unless on a terminal.")
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="What is logged, at least.")
    ] = "info"


def _database(url: str) -> str:
    """Told without the address, which may hold a password."""
    if not re.match(r"memory:$|sqlite:////.|postgresql\+psycopg://.", url):
        raise ValueError(
            "it is none that is known: use sqlite:////path, postgresql+psycopg://user@server:port/name, "
            "or memory: to keep nothing"
        )
    try:
        parts = urlsplit(url)
        holds_password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        raise ValueError("the address can't be read") from None
    if holds_password:
        raise ValueError("it holds a password, which anyone sees who sees this: use database_password_file")
    return url


class Settings(Section):
    """Everything has a default but the network."""

    state_dir: Annotated[AbsolutePath, Field(description="Database, images, keys, consoles.")] = Path(
        "/var/lib/provisioner"
    )
    database: Annotated[
        Annotated[str, AfterValidator(_database)] | None,
        Field(
            description="sqlite:////path for one compute host, by default provisioner.db in state_dir; "
            "postgresql+psycopg://user@server:port/name for any number of them."
        ),
    ] = None
    database_password_file: Annotated[
        AbsolutePath | None,
        Field(description="Holds the password for PostgreSQL; without it libpq's PGPASSWORD and PGPASSFILE."),
    ] = None
    images_dir: Annotated[
        AbsolutePath | None,
        Field(
            description="Where images' bytes lie; by default images in state_dir. On storage that the API "
            "and all compute hosts share when they are on several machines."
        ),
    ] = None
    secret_key_file: Annotated[
        AbsolutePath | None,
        Field(
            description="Its keys encrypt stored secrets; by default secret.key in state_dir, made at the "
            "first start. PROVISIONER_SECRET_KEYS in the environment goes before it."
        ),
    ] = None
    rack: Annotated[
        Literal["real", "fake"],
        Field(description="fake: machines in memory, to try or to measure the control plane without any."),
    ] = "real"
    host: Annotated[Host, Field(description="This compute host.")] = Field(default_factory=Host)
    api: Annotated[Api, Field(description="Where the REST API is.")] = Field(default_factory=Api)
    quotas: Annotated[
        dict[Annotated[str, Field(pattern=r"^(\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$")], Quota],
        Field(
            description="What each tenant may have, by its name; `*`: each that isn't named. Left out: as "
            "many as there are nodes, and `api.limits.waiting_instances` more that wait for one."
        ),
    ] = Field(default_factory=dict)
    image_urls: Annotated[
        ImageUrls, Field(description="From where images are fetched that are registered by URL.")
    ] = Field(default_factory=ImageUrls)
    network: Annotated[Network, Field(description="The provisioning network, which nodes boot from.")]
    ramdisks: Annotated[
        dict[Literal["x86_64", "arm64", "armhf"], Ramdisk],
        Field(description="Per architecture; by default what `provisioner ramdisk build` built last."),
    ] = Field(default_factory=dict)
    ramdisk_kernel: Annotated[
        Literal["hardware", "cloud"],
        Field(
            description="Which of the built ramdisks nodes boot that `ramdisks` doesn't name: cloud's is for "
            "virtual machines alone, where it boots faster; of armhf there is only hardware's."
        ),
    ] = "hardware"
    deploy: Annotated[Deploy, Field(description="How patient a deploy is.")] = Field(default_factory=Deploy)
    nfs: Annotated[Nfs, Field(description="Roots of nodes by NFS.")] = Field(default_factory=Nfs)
    power: Annotated[Power, Field(description="How power devices are asked.")] = Field(default_factory=Power)
    tilera: Annotated[Tilera, Field(description="Boards of Tilera.")] = Field(default_factory=Tilera)
    console: Annotated[Console, Field(description="Serial consoles.")] = Field(default_factory=Console)
    timeline: Annotated[
        Timeline,
        Field(description="What is kept of it; always what belongs to work in progress or to an instance."),
    ] = Field(default_factory=Timeline)
    audit: Annotated[Audit, Field(description="What is kept of who did what.")] = Field(default_factory=Audit)
    log: Annotated[Log, Field(description="On standard error.")] = Field(default_factory=Log)

    @model_validator(mode="after")
    def _commands_fit_into_the_lease(self) -> Settings:
        lease_s = self.lease_ttl_s
        for name, longest_s in self._command_timeouts_s.items():
            if longest_s + RENEWAL_S > lease_s:
                raise misplaced(
                    tuple(name.split(".")),
                    f"{longest_s:g} s leaves less than {RENEWAL_S:g} s of host.lease_ttl_s, "
                    f"{lease_s:g} s, to the database: such a command begins only if it ends before the lease "
                    f"does; make the lease longer, {longest_s + RENEWAL_S:g} s or more",
                )
        return self

    @property
    def _command_timeouts_s(self) -> dict[str, float]:
        """By their names, of all devices that can be used."""
        timeouts_s = {"power.snmp_timeout_s": self.power.snmp_timeout_s}
        if self.power.commands:
            timeouts_s["power.command_timeout_s"] = self.power.command_timeout_s
        if self.tilera.monitor is not None:
            timeouts_s["tilera.command_timeout_s"] = self.tilera.command_timeout_s
        return timeouts_s

    @property
    def longest_command_s(self) -> float:
        return max(LONGEST_COMMAND_S, *self._command_timeouts_s.values())

    @property
    def lease_ttl_s(self) -> float:
        return self.host.lease_ttl_s or (60.0 if self.embedded else 5.0)

    @property
    def poll_s(self) -> float:
        return self.host.poll_s or (2.0 if self.embedded else 30.0)

    @property
    def embedded(self) -> bool:
        """Whether the database is a file of this machine, with no other compute host at it."""
        return self.database_url.startswith("sqlite:")

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.state_dir / 'provisioner.db'}"

    @property
    def images(self) -> Path:
        return self.images_dir or self.state_dir / "images"

    def database_password(self) -> str:
        """Empty when none is set. Raises InvalidInput."""
        path = self.database_password_file
        if path is None:
            return ""
        try:
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            answer = (error.strerror if isinstance(error, OSError) else None) or "it isn't text"
            raise InvalidInput(f"read {path}", field="database_password_file", answer=answer) from None

    @property
    def roots(self) -> Path:
        return self.nfs.folder or self.state_dir / "roots"

    @property
    def secret_key(self) -> Path:
        return self.secret_key_file or self.state_dir / "secret.key"

    @property
    def tls_folder(self) -> Path:
        return self.state_dir / "tls"

    @property
    def token_file(self) -> Path:
        return self.state_dir / "admin.token"
