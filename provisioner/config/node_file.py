"""The node file: what `bmsim rack inventory` prints, or an operator writes for a real rack."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

PASSWORD_FIELDS = frozenset({"password", "community", "auth_key", "privacy_key", "token"})
"""Fields of `power` that are secrets, whatever the driver: stored encrypted, never shown."""


def _mac(text: str) -> str:
    if not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text):
        raise ValueError("a MAC address looks like 52:54:00:77:00:01 (in quotes)")
    return text.lower()


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PortEntry(_Part):
    mac: Annotated[str, AfterValidator(_mac)]
    address: Annotated[
        IPv4Address | None, Field(description="Its reservation; from the pool if not given.")
    ] = None


class Power(BaseModel):
    """`driver`, and what that driver needs: address, port, user, password …"""

    model_config = ConfigDict(extra="allow", frozen=True)

    driver: Literal["ipmi", "fake"]
    password: SecretStr | None = None

    def address(self) -> dict[str, Any]:
        """All but the secrets."""
        return {key: value for key, value in (self.model_extra or {}).items() if key not in PASSWORD_FIELDS}

    def secret(self) -> dict[str, str]:
        secrets = {k: str(v) for k, v in (self.model_extra or {}).items() if k in PASSWORD_FIELDS}
        if self.password is not None:
            secrets["password"] = self.password.get_secret_value()
        return secrets


class NodeEntry(_Part):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    arch: Literal["x86_64"]
    firmware: Literal["bios", "uefi"] = "bios"
    vcpus: Annotated[int, Field(ge=1, description="CPUs, or cores.")]
    memory_mib: Annotated[int, Field(ge=1)]
    disk_mib: Annotated[int, Field(ge=1, description="Of the disk that instances are written to.")]
    ports: Annotated[
        tuple[PortEntry, ...], Field(min_length=1, description="NICs on the provisioning network.")
    ]
    boot: Literal["ipxe"] = "ipxe"
    deploy: Literal["iscsi"] = "iscsi"
    power: Power
    root_device: Annotated[
        dict[Literal["serial", "wwn", "model", "path"], str],
        Field(description="Which disk gets the instance; by default the smallest that is large enough."),
    ] = Field(default_factory=dict)


class NodeFile(_Part):
    nodes: Annotated[tuple[NodeEntry, ...], Field(min_length=1)]
