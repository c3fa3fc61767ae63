"""`power` of a node that hangs on outlets."""

from __future__ import annotations

import re
import ssl
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from provisioner.config.node_power import PowerEntry
from provisioner.core.feeds import feeds_of, units_advice
from provisioner.core.outlet_urls import PRINT, URLS, query_print
from provisioner.core.pdus.families import AUTO, FAMILIES, FIRST_UNITS
from provisioner.core.pdus.family import Family
from provisioner.core.shown_url import shown_url


def _host(name: str) -> str:
    """As it is known by: two ways to write it don't make two devices."""
    try:
        return str(ip_address(name))
    except ValueError:
        return _name(name).lower().removesuffix(".")


def _name(name: str) -> str:
    try:
        name.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{name!r} can't be a host's name: {error}") from error
    return name


def _unit(unit: str) -> str:
    return ".".join(str(int(number)) for number in unit.split("."))


def _check_unit(family: Family, unit: str) -> None:
    """Raises ValueError for one that the family can't have: another's outlet would be switched, or none."""
    if not family.unit and unit not in FIRST_UNITS:
        raise ValueError(
            f"unit: {family.name} has no units; the PDU that has the outlet has an address of its own"
        )
    if family.unit and unit.count(".") != family.unit.count("."):
        raise ValueError(
            f"unit: {unit} is none of {family.name}, whose first is {family.unit} (docs/pdus.md)"
        )


def _url(text: str) -> str:
    """As it is asked for."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        # Of one with a login, the error may tell a part of the password.
        raise ValueError("it is no URL" + ("" if "@" in text else f": {error}")) from None
    if url.userinfo:
        raise ValueError(
            "it has a user or a password, which would be shown with it: give power.user and power.password, "
            "or power.token"
        )
    if not url.host:
        raise ValueError("it names no host")
    _name(url.host)
    return str(url)


def _user(name: str) -> str:
    # RFC 3414 §5, usmUserName
    if len(name.encode()) > 32:
        raise ValueError("it has more than 32 bytes in UTF-8: letters that aren't ASCII take two to four")
    return name


def _token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", token.get_secret_value()):
        raise ValueError("it has a blank, the end of a line, or a letter that isn't ASCII")
    return token


def _certificates(text: str) -> str:
    if "PRIVATE KEY" in text:
        raise ValueError("it has a private key, which would be shown with it: give the certificate alone")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ValueError, TypeError, OSError):  # TypeError: it has letters that aren't ASCII
        raise ValueError("it is no certificate in PEM, from its BEGIN line to its END line") from None
    return text


_Written = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$")]
Host = Annotated[_Written, AfterValidator(_host)]
AsWritten = Annotated[_Written, AfterValidator(_name)]
"""A host for somebody else to find, who may look for it by its letters."""
Url = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\x00]*$"), AfterValidator(_url)]
Outlet = Annotated[int, Field(ge=1, le=1000)]
Passphrase = Annotated[SecretStr, Field(min_length=8, max_length=128)]  # RFC 3414 §11.2


def _known(family: str) -> str:
    if family != AUTO and family not in FAMILIES:
        raise ValueError(f"there is no family {family}; there are: {', '.join(FAMILIES)}, or {AUTO}")
    return family


class _OutletPower(PowerEntry):
    discharge_s: Annotated[
        float | None,
        Field(
            ge=0, le=600, description="How long it stays off before it is on; by default power.discharge_s."
        ),
    ] = None


class SnmpPower(_OutletPower):
    """Outlets of a PDU by SNMP."""

    driver: Annotated[Literal["snmp"], Field(description="Outlets of a PDU by SNMP.")]
    family: Annotated[
        str,
        AfterValidator(_known),
        Field(
            description="What the PDU is; auto: it is asked.",
            json_schema_extra={"enum": [*FAMILIES, AUTO]},
        ),
    ] = AUTO
    address: Annotated[Host, Field(description="The PDU's address or name.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Its UDP port.")] = 161
    outlets: Annotated[
        tuple[Outlet, ...],
        Field(
            min_length=1, max_length=8, description="Those that the node hangs on, as the PDU counts them."
        ),
    ]
    unit: Annotated[
        Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){0,2}$"), AfterValidator(_unit)] | None,
        Field(description="In a chain of PDUs, or the tower and infeed: by default the family's first."),
    ] = None
    version: Annotated[Literal["1", "2c", "3"], Field(description="Of SNMP, in quotes.")] = "2c"
    community: Annotated[
        SecretStr | None,
        Field(min_length=1, max_length=64, description="Versions 1 and 2c. Kept encrypted, never shown."),
    ] = None
    write_community: Annotated[
        SecretStr | None, Field(min_length=1, max_length=64, description="For commands; by default the same.")
    ] = None
    user: Annotated[
        Annotated[str, AfterValidator(_user)] | None, Field(max_length=32, description="Version 3.")
    ] = None
    auth_protocol: Annotated[
        Literal["MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"] | None,
        Field(description="By default SHA."),
    ] = None
    auth_key: Annotated[
        Passphrase | None, Field(description="Authenticates. Kept encrypted, never shown.")
    ] = None
    priv_protocol: Annotated[
        Literal["DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C"] | None,
        Field(description="By default AES; -C: with keys as Cisco makes them."),
    ] = None
    priv_key: Annotated[Passphrase | None, Field(description="Encrypts. Kept encrypted, never shown.")] = None

    @model_validator(mode="after")
    def _can_be_asked(self) -> SnmpPower:
        if len(set(self.outlets)) < len(self.outlets):
            raise ValueError("outlets: one of them is there twice")
        family = FAMILIES.get(self.family)
        if family is not None and max(self.outlets) > family.outlets:
            raise ValueError(
                f"outlets: there is no outlet {max(self.outlets)}; {self.family} has {family.outlets} at most"
            )
        if family is not None and self.unit is not None:
            _check_unit(family, self.unit)
        if self.version == "3":
            if not self.user:
                raise ValueError("version 3 needs a user")
            if self.priv_key and not self.auth_key:
                raise ValueError("priv_key needs auth_key: there is no privacy without authentication")
        elif self.community is None:
            raise ValueError(f"version {self.version} needs a community")
        return self


class IbootPower(_OutletPower):
    """An outlet that is switched over TCP, as Dataprobe's iBoot is."""

    driver: Annotated[Literal["iboot"], Field(description="An outlet over TCP, as Dataprobe's iBoot.")]
    address: Annotated[Host, Field(description="Its address or name.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Its TCP port.")] = 80
    password: Annotated[SecretStr, Field(max_length=21, description="Kept encrypted, never shown.")]


class HttpPower(_OutletPower):
    """An outlet that is switched by requests to URLs: a webhook, a smart plug, a home automation."""

    driver: Annotated[Literal["http"], Field(description="An outlet, or anything, by requests to URLs.")]
    on: Annotated[
        Url,
        Field(
            description="The URL that switches it on. Its query is kept encrypted, never shown.", repr=False
        ),
    ]
    off: Annotated[Url, Field(description="The URL that switches it off; likewise.", repr=False)]
    state: Annotated[Url, Field(description="The URL that tells its state, by GET; likewise.", repr=False)]
    method: Annotated[Literal["GET", "POST", "PUT"], Field(description="Of the requests that switch.")] = (
        "POST"
    )
    when_on: Annotated[
        str, Field(min_length=1, max_length=100, description="Stands in the answer of `state` when it is on.")
    ]
    when_off: Annotated[
        str,
        Field(min_length=1, max_length=100, description="Stands in the answer of `state` when it is off."),
    ]
    user: Annotated[str | None, Field(max_length=64, description="Who logs in.")] = None
    login: Annotated[
        Literal["basic", "digest"] | None,
        Field(description="How: by RFC 7617, which is the default, or by RFC 7616, as many smart plugs do."),
    ] = None
    password: Annotated[SecretStr | None, Field(description="Kept encrypted, never shown.")] = None
    token: Annotated[
        Annotated[SecretStr, AfterValidator(_token)] | None,
        Field(description="In place of a user (RFC 6750). Kept encrypted, never shown."),
    ] = None
    ca: Annotated[
        Annotated[str, AfterValidator(_certificates)] | None,
        Field(
            max_length=32768,
            pattern=r"^[^\x00]*$",
            description="In PEM, what alone is trusted: its authority's certificate, or its own. By default "
            "the public authorities.",
        ),
    ] = None

    @model_validator(mode="after")
    def _trusts_what_has_tls(self) -> HttpPower:
        if self.ca is not None and any(not getattr(self, name).startswith("https:") for name in URLS):
            raise ValueError("ca: it is for URLs of https, and one of them isn't")
        return self

    @model_validator(mode="after")
    def _knows_who_logs_in(self) -> HttpPower:
        if self.login is not None and not self.user:
            raise ValueError(f"login: {self.login} needs a user")
        return self

    def shown(self) -> dict[str, Any]:
        """Without the queries of its URLs: a webhook's key is often there."""
        urls = {name: shown_url(getattr(self, name)) for name in URLS}
        printed = query_print(self.on)
        return super().shown() | urls | ({PRINT: printed} if printed else {})

    def written(self) -> dict[str, Any]:
        return {name: value for name, value in super().written().items() if name != PRINT}

    def secrets(self) -> dict[str, str]:
        """With whole URLs, in place of those that aren't shown whole."""
        urls = {name: getattr(self, name) for name in URLS}
        return super().secrets() | {name: url for name, url in urls.items() if url != shown_url(url)}


class CommandPower(_OutletPower):
    """Outlets that a program of the compute host's switches, such as a site's own `pdu_mgr`."""

    driver: Annotated[Literal["command"], Field(description="Outlets by a program of the compute host's.")]
    command: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="Its name in power.commands of the hosts.")
    ]
    address: Annotated[
        AsWritten, Field(description="Of the PDU, as it is written: the program's first argument.")
    ]
    outlets: Annotated[
        tuple[Outlet, ...],
        Field(
            min_length=1, max_length=8, description="Each is a second argument, then comes on, off or status."
        ),
    ]


Feed = Annotated[SnmpPower | IbootPower | HttpPower | CommandPower, Field(discriminator="driver")]


class FeedsPower(_OutletPower):
    """A node with several power supplies, on outlets of several devices."""

    discharge_s: Annotated[
        float | None,
        Field(ge=0, le=600, description="How long it stays off; by default the longest of the feeds'."),
    ] = None
    driver: Annotated[Literal["feeds"], Field(description="Several of the above: a node with two supplies.")]
    feeds: Annotated[
        tuple[Feed, ...],
        Field(min_length=2, max_length=4, description="All that it hangs on, each as above."),
    ]

    @model_validator(mode="after")
    def _are_different(self) -> FeedsPower:
        each = [outlet for feed in self.feeds for outlet in feeds_of(feed.driver, feed.shown()).items()]
        names = [name for name, _ in each]
        twice = next((called for name, called in each if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"feeds: {twice} is there twice{units_advice(twice)}")
        return self

    def shown(self) -> dict[str, Any]:
        feeds = [{"driver": feed.driver, **feed.shown()} for feed in self.feeds]
        return {**super().shown(), "feeds": feeds}

    def written(self) -> dict[str, Any]:
        return {"driver": self.driver, **super().shown(), "feeds": [feed.written() for feed in self.feeds]}

    def secrets(self) -> dict[str, str]:
        """Named as the feed's, with its number before: "0.community"."""
        return {
            f"{number}.{name}": value
            for number, feed in enumerate(self.feeds)
            for name, value in feed.secrets().items()
        }
