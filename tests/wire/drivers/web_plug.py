"""What smart plugs of these tests have in common: a web server, and a compute host that switches them."""

from __future__ import annotations

import asyncio

import httpx

from provisioner.config.outlet_power import HttpPower
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_http import HttpDevices
from provisioner.protocols.power import PowerVerb


def power_at(url: str, **words: str) -> HttpPower:
    """A node file's entry for the plug there, which is switched and asked at paths of these names."""
    return HttpPower.model_validate(
        {"driver": "http", **{name: f"{url}/{name}" for name in ("on", "off", "state")}, **words}
    )


def seen(power: HttpPower, *verbs: PowerVerb) -> list[PowerState]:
    """At first, and after each of them; as a compute host does it by what is stored of the entry."""

    async def story() -> list[PowerState]:
        async with httpx.AsyncClient(trust_env=False) as client:
            control = HttpDevices(client, discharge_s=1)("n1", power.shown(), power.secrets())
            states = [await control.power_state()]
            for verb in verbs:
                await control.set_power(verb)
                states.append(await control.power_state())
            return states

    return asyncio.run(story())
