"""Faults of BMCs."""

from __future__ import annotations

from functools import partial

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, LIST, NUMBER, By, Fault, Parameter, count, for_s

_fault = partial(Fault, fidelities=EVERYWHERE, by=By.RACK)

FAULTS = (
    _fault(
        "bmc.silent",
        "answers nothing at all",
        "after for_s, or when it is healed",
        "iLO and iDRAC are silent for up to 300 s after a firmware update (Ironic fbe0e188b, 81f1ed1cf)",
        (for_s(),),
    ),
    _fault(
        "bmc.wrong_credentials",
        "knows another password than the one it was given",
        BY_HEAL,
        "everyday: a password that somebody changed",
    ),
    _fault(
        "bmc.ack_not_done",
        "acknowledges a command and never carries it out",
        "after count times, or when it is healed",
        "virtbmc over SSH in metal3-dev-env; VirtualBMC",
        (
            Parameter("for_commands", ("chassis.power.on",), LIST, "names as in the audit log"),
            count(),
        ),
    ),
    _fault(
        "bmc.late",
        "acknowledges a command of power at once, and carries it out later",
        "after count times, or when it is healed; what it has acknowledged it still does",
        "OpenBMC answers before it is done (powerman #33); the state changes later (sidero #257)",
        (
            Parameter("for_commands", ("chassis.power.off",), LIST, "names as in the audit log"),
            Parameter("by_s", 3.0, NUMBER, "how much later", least=0),
            count(),
        ),
    ),
    _fault(
        "bmc.swallowed_in_transition",
        "loses a power-on that comes while the machine is going down",
        BY_HEAL,
        "kubevirtbmc #219",
        (Parameter("window_s", 10, NUMBER, "how long going down takes", least=0),),
    ),
    _fault(
        "bmc.busy",
        "answers 0xC0, node busy",
        "after count times, or when it is healed",
        "iDRAC10, up to 60 s after a power-off (Ironic 238c9e0cc)",
        (
            Parameter(
                "for_commands",
                None,
                LIST,
                "names as in the audit log; null: all that change something",
            ),
            count(),
            Parameter(
                "after_power_off_s", None, NUMBER, "only for so long after a power-off; null: always", least=0
            ),
        ),
    ),
    _fault(
        "bmc.busy_when_reached",
        "answers 0xC0, node busy, when it is to switch on what is on, or off what is off",
        "after count times, or when it is healed",
        "Ironic (LP 2119423)",
        (count(),),
    ),
    _fault(
        "bmc.boot_device_refused_during_post",
        "refuses to set the boot device until POST ends: 0xD5, not supported in present state",
        BY_HEAL,
        "iLO (LP 2136275)",
        (Parameter("post_s", 60, NUMBER, "how long POST takes, from the start of the machine", least=0),),
    ),
    _fault(
        "bmc.boot_device_forgotten",
        "takes the boot device, tells it when asked, and boots from another",
        "after count boots, or when it is healed",
        "VirtualBMC drops the flags that say once or always",
        (count(),),
    ),
    _fault(
        "bmc.lies_about_power",
        "tells a power state that isn't so",
        "after for_s, or when it is healed",
        "lag of power supplies and sensors (sonic-mgmt #12157)",
        (
            Parameter("says_on", None, (bool,), "what it says; null: the opposite of what is"),
            for_s(),
        ),
    ),
    _fault(
        "bmc.cold_reset",
        "restarts: its sessions are gone, and it is silent until it has started again",
        "by itself after silent_s",
        "everyday: firmware updates, watchdogs, operators",
        (Parameter("silent_s", 20, NUMBER, "how long it takes to start", least=0),),
    ),
    _fault(
        "bmc.sessions_exhausted",
        "has no free session slot",
        BY_HEAL,
        "everyday: tools that don't close their sessions",
    ),
    # The identity is the machine's, told by its BMC's inventory and by its firmware.
    Fault(
        "bmc.nic_renamed",
        "tells another MAC address of its NIC than at the boot before",
        BY_HEAL,
        "iLO6 (LP 2137364)",
    ),
)
