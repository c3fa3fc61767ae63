"""Whatever happens to a machine, in whatever order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine
from bmsim.devices.machine_faults import OWN
from bmsim.devices.messages import (
    Began,
    Input,
    PowerOff,
    PowerOn,
    Question,
    Reset,
    ShutDown,
    Started,
    Stopped,
    SystemHalts,
    SystemReboots,
    to_json,
)
from bmsim.faults.catalogue import completed
from tests.unit.bmsim_devices.bench import MAC, SYSTEMS, Network

_INPUTS = st.sampled_from((PowerOn(), PowerOff(), Reset(), ShutDown(), SystemReboots(), SystemHalts()))
_FAULTS = st.sets(st.sampled_from((*OWN, "disk.missing")), max_size=2).map(
    lambda names: {name: completed(name, {}) for name in sorted(names)}
)
_DEVICES = st.sampled_from((BootDevice.UNCHANGED, BootDevice.NETWORK, BootDevice.DISK))
_STEPS = st.lists(st.one_of(_INPUTS, _FAULTS, _DEVICES, st.floats(0.1, 100)), max_size=12)

Step = Input | Mapping[str, Any] | BootDevice | float


def walk(steps: list[Step], firmware: Firmware, lost: list[bool]) -> list[Any]:
    """Plays the steps to a machine whose questions are lost as told, and checks it at each of them."""
    machine = Machine((MAC,), SYSTEMS, firmware=firmware, disk=Disk(128 * MIB, content="debian"))
    network, told, now_s, losses = Network(), [], 0.0, iter(lost)

    def follow(update: Any) -> float | None:
        for output in update.outputs:
            told.append((now_s, output))
            answer = network(output) if isinstance(output, Question) and not next(losses, False) else None
            if answer is not None:
                update = machine.update(now_s, (answer,))
                follow(update)
        wake_at_s = machine.update(now_s).wake_at_s
        assert wake_at_s is None or wake_at_s > now_s
        assert machine.on or (wake_at_s is None and machine.running is None)
        return wake_at_s

    for step in (*steps, 3600.0):
        if isinstance(step, BootDevice):
            machine.boot_next = step
        elif isinstance(step, Mapping):
            follow(machine.give_faults(step, now_s))
        elif isinstance(step, float):
            end_s, wakes = now_s + step, 0
            while (wake_at_s := follow(machine.update(now_s))) is not None and wake_at_s <= end_s:
                now_s, wakes = wake_at_s, wakes + 1
                follow(machine.update(now_s))
                assert wakes < 3000
            now_s = end_s
        else:
            follow(machine.update(now_s, (step,)))
    return told


@given(_STEPS, st.sampled_from(Firmware), st.lists(st.booleans(), max_size=30))
def test_a_system_runs_only_between_a_beginning_and_an_end(
    steps: list[Step], firmware: Firmware, lost: list[bool]
) -> None:
    on = running = False
    for _, output in walk(steps, firmware, lost):
        match output:
            case Began():
                assert not on
                on = True
            case Started():
                assert on
                assert not running
                running = True
            case Stopped():
                assert on
                on = running = False


@given(_STEPS, st.sampled_from(Firmware), st.lists(st.booleans(), max_size=30))
def test_the_same_inputs_give_the_same_outputs(
    steps: list[Step], firmware: Firmware, lost: list[bool]
) -> None:
    first, second = walk(steps, firmware, lost), walk(steps, firmware, lost)
    assert [(at_s, to_json(output)) for at_s, output in first] == [
        (at_s, to_json(output)) for at_s, output in second
    ]
