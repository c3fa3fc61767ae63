"""Sections of the configuration file about who asks for what: the API, its limits, quotas, the audit log."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, model_validator

from provisioner.config.section import AbsolutePath, Section


class Tls(Section):
    certificate: Annotated[
        AbsolutePath | None,
        Field(
            description="In PEM, with those between it and its authority; left out: what "
            "`provisioner tls init` made."
        ),
    ] = None
    key: Annotated[
        AbsolutePath | None, Field(description="In PEM; by default in the file of the certificate.")
    ] = None


class Limits(Section):
    requests_per_s: Annotated[
        float | None,
        Field(gt=0, description="Of one user, or of an access key without one; `null`: any number."),
    ] = 500
    request_burst: Annotated[int, Field(ge=1, description="So many at once, after a pause.")] = 5000
    open_requests: Annotated[
        int,
        Field(ge=1, description="Of one user, that wait for an instance (`wait_s`) or follow a console."),
    ] = 50
    failures_per_minute: Annotated[
        int, Field(ge=1, description="Wrong tokens, keys and signatures from one address; so many at once.")
    ] = 60
    body_bytes: Annotated[
        int,
        Field(
            ge=65_536, le=2**26, description="Of a request; of EC2's, 256 KiB at most. Images have no limit."
        ),
    ] = 2**20
    waiting_instances: Annotated[
        int,
        Field(
            ge=1,
            description="Of one tenant without a quota, that wait for a node; or as many as there are "
            "nodes, if those are more.",
        ),
    ] = 1000


class Api(Section):
    listen: Annotated[
        str,
        Field(pattern=r"^[^:]+:\d{1,5}$", description="Address and port of the REST API; port 0 picks one."),
    ] = "127.0.0.1:8776"
    socket: Annotated[
        AbsolutePath | None, Field(description="A UNIX socket on which the API listens as well.")
    ] = None
    tls: Annotated[
        Tls | None,
        Field(description="Speak TLS at `listen`; `{}`: with the certificate of `provisioner tls init`."),
    ] = None
    insecure_http: Annotated[
        bool,
        Field(description="Speak plain HTTP even where other machines may listen in, to tokens as well."),
    ] = False
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(
            description="Addresses or networks of proxies whose `X-Forwarded-For` says where a request came "
            "from; nobody else's does."
        ),
    ] = ()
    limits: Annotated[Limits, Field(description="How much is taken from whom.")] = Field(
        default_factory=Limits
    )
    region: Annotated[
        str,
        Field(
            pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$",
            description="What EC2 clients are told that this place is called; nodes that are given no "
            "zone are in the one that is called this with an `a` at the end.",
        ),
    ] = "metal"

    @property
    def address(self) -> str:
        return self.listen.rpartition(":")[0]

    @model_validator(mode="after")
    def _is_private(self) -> Api:
        if self.tls is None and not self.insecure_http and not _is_loopback(self.address):
            raise ValueError(
                f"{self.listen} is reached from other machines, and HTTP would show every token: set tls "
                "(`tls: {}` after `provisioner tls init`), or insecure_http if something else protects it"
            )
        return self


def _is_loopback(address: str) -> bool:
    try:
        return IPv4Address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Quota(Section):
    instances: Annotated[int, Field(ge=0, description="So many at once, until they are deleted.")]


class ImageUrls(Section):
    members: Annotated[
        Literal["public", "any", "none"],
        Field(
            description="Where members' images may come from: addresses of the Internet, any that the "
            "provisioner reaches, or none. Operators' come from anywhere."
        ),
    ] = "public"
    also: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(
            description="Networks that members' images may come from as well, such as a mirror of yours, "
            "unless a smaller one, or the same, is in `never`."
        ),
    ] = ()
    never: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(description="Networks that they may not, whatever `members` says, such as that of the BMCs."),
    ] = ()


class Audit(Section):
    keep_days: Annotated[float, Field(ge=1, description="Records older than that are forgotten.")] = 365
    keep_records: Annotated[
        int, Field(ge=1000, description="Records that are kept, the newest; some 300 bytes each.")
    ] = 1_000_000
