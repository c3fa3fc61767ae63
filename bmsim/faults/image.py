"""Faults of images, as they lie where they are fetched from."""

from __future__ import annotations

from bmsim.faults.fault import EVERYWHERE, By, Fault, Parameter, Strikes

_HEALS = "when it is healed: the next attempt gets what it should"

FAULTS = (
    Fault(
        "image.corrupt",
        "holds other bytes than its checksum says",
        _HEALS,
        "everyday: a mirror in mid-update, a disk that decays",
        (Parameter("at_byte", 0, (int,), "where a byte is changed", least=0),),
        strikes=Strikes.IMAGE,
        fidelities=EVERYWHERE,
        by=By.RUNNER,
    ),
    Fault(
        "image.truncated",
        "ends early: the connection is cut",
        _HEALS,
        "everyday: proxies with a limit",
        (Parameter("after_bytes", 65536, (int,), "where it ends", least=0),),
        strikes=Strikes.IMAGE,
        fidelities=EVERYWHERE,
        by=By.RUNNER,
    ),
    Fault(
        "image.unreachable",
        "can't be fetched",
        _HEALS,
        "everyday",
        strikes=Strikes.IMAGE,
        fidelities=EVERYWHERE,
        by=By.RUNNER,
    ),
)
