"""For all contracts."""

from __future__ import annotations

import pytest

LONGEST_S = 45.0


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power drivers that are made from now on give a device so long: where this machine stands still for
    seconds, a device that lives isn't to pass for one that is silent."""
    # Not above: most tests need none of them.
    from provisioner.drivers.snmp import SnmpDevices

    for driver in ("ipmi", "outlet_http", "outlet_iboot"):
        monkeypatch.setattr(f"provisioner.drivers.{driver}.LONGEST_COMMAND_S", LONGEST_S)
    assert SnmpDevices.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(SnmpDevices.__init__.__kwdefaults__, "timeout_s", LONGEST_S)
    # Of that, one message: what is sent in its time is sent once.
    monkeypatch.setattr("provisioner.drivers.ipmi_session.RETRY_S", int(LONGEST_S / 3))
    for module in ("core.pdu_pace", "drivers.snmp_queue"):
        monkeypatch.setattr(f"provisioner.{module}.MESSAGE_S", LONGEST_S / 3)
