"""A node with two feeds, of PDUs that disagree."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceUnreachable
from provisioner.core.outlets import told
from provisioner.core.states import PowerState
from provisioner.protocols.power import Feeds, PowerVerb
from tests.contract.drivers.outlets import by_feeds
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire


@pytest.mark.usefixtures("unhurried")
def test_two_pdus_that_disagree_are_half_off(stack: ExitStack, tmp_path: Path) -> None:
    control = by_feeds(stack, tmp_path)
    fault = tmp_path / "b" / "n1.json"
    fault.write_text('{"pdu.outlet_stuck": {}}')
    play(lambda: control.set_power(PowerVerb.OFF))
    assert play(control.power_state) is PowerState.UNKNOWN
    assert isinstance(control, Feeds)
    assert told(control.last_seen()) == "feed A outlet 1 off, feed B outlet on"


def test_of_two_feeds_each_is_told_though_one_fails(stack: ExitStack, tmp_path: Path) -> None:
    control = by_feeds(stack, tmp_path)
    (tmp_path / "a" / "n1.json").write_text('{"pdu.unreachable": {}}')
    with pytest.raises(DeviceUnreachable, match=r"PDU 127\.0\.0\.1"):
        play(lambda: control.set_power(PowerVerb.OFF))
    (tmp_path / "a" / "n1.json").unlink()

    async def asked_on() -> PowerState:
        while True:  # within its patience, which is above the driver
            with suppress(DeviceUnreachable):
                return await control.power_state()

    assert play(asked_on) is PowerState.UNKNOWN
