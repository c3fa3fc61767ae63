"""`power` of a node: how a BMC, or a machine in memory, is reached."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from provisioner.config.part import Part


class PowerEntry(Part):
    """One class per driver, every field named: a mistyped `pasword` is refused, not stored for all to see."""

    driver: str

    @model_validator(mode="after")
    def _secrets_are_text(self) -> Self:
        try:
            for secret in self.secrets().values():
                secret.encode()
        except UnicodeEncodeError:
            raise ValueError("a password isn't Unicode text: it has half of a surrogate pair") from None
        return self

    def shown(self) -> dict[str, Any]:
        """What the driver needs, but for the secrets."""
        return self.model_dump(mode="json", exclude={"driver", *self.secrets()}, exclude_none=True)

    def secrets(self) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in self if isinstance(value, SecretStr)}

    def written(self) -> dict[str, Any]:
        """As it stands in a node file, secrets and all."""
        return {"driver": self.driver, **self.shown(), **self.secrets()}


class IpmiPower(PowerEntry):
    """A BMC that speaks IPMI 2.0."""

    driver: Annotated[Literal["ipmi"], Field(description="A BMC that speaks IPMI 2.0.")]
    address: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]*$", description="The BMC's address or name.")
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="Its UDP port.")] = 623
    user: Annotated[str, Field(max_length=16, description="Who logs in (IPMI 2.0 §22.28).")]
    password: Annotated[
        SecretStr, Field(max_length=20, description="Kept encrypted, never shown (IPMI 2.0 §22.30).")
    ]
    privilege: Annotated[
        Literal["USER", "OPERATOR", "ADMINISTRATOR"] | None,
        Field(description="What the session asks for; by default ADMINISTRATOR."),
    ] = None
    cipher_suites: Annotated[
        tuple[Annotated[int, Field(ge=0, le=17)], ...] | None,
        Field(min_length=1, description="Tried in this order; by default 3, then 17."),
    ] = None


class FakePower(PowerEntry):
    """A machine in memory, for `rack: fake`."""

    driver: Annotated[Literal["fake"], Field(description="A machine in memory, for `rack: fake`.")]
