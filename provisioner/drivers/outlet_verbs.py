"""What an outlet can be told, of what a node can be."""

from __future__ import annotations

from provisioner.core.errors import DeviceRefused
from provisioner.protocols.power import PowerVerb


def ends_on(verb: PowerVerb, tried: str, device: str) -> bool:
    """Whether the outlet is to be on afterwards. Raises DeviceRefused for what an outlet can't do.

    CYCLE and RESET are off, a wait, and on: whoever may wait does that (`compute/devices.py`).
    """
    if verb in (PowerVerb.ON, PowerVerb.OFF):
        return verb is PowerVerb.ON
    raise DeviceRefused(
        tried, device=device, answer="an outlet knows on and off alone", advice="Use off, then on"
    )
