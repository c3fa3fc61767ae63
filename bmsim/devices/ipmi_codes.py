"""Names and numbers of IPMI 2.0: commands as the audit log calls them, completion codes.

Section numbers in this package are those of the IPMI specification, second generation, revision 1.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHASSIS, APP, TRANSPORT = 0x00, 0x06, 0x0C  # network functions (§5.1)

# Completion codes (§5.2). Those from 0x80 to 0xBE mean something else for each command.
OK = 0x00
PARAMETER_NOT_SUPPORTED = 0x80
PAYLOAD_IN_USE = 0x80
PAYLOAD_NOT_ACTIVE = 0x80
PRIVILEGE_EXCEEDS_LIMIT = 0x81
INVALID_SESSION = 0x87
NODE_BUSY = 0xC0
UNKNOWN_COMMAND = 0xC1
TIMED_OUT = 0xC3
LENGTH_INVALID = 0xC7
INVALID_FIELD = 0xCC
UNREACHABLE = 0xD3
TOO_LITTLE_PRIVILEGE = 0xD4
NOT_IN_THIS_STATE = 0xD5
UNSPECIFIED = 0xFF

USER, OPERATOR, ADMINISTRATOR = 2, 3, 4  # privilege levels (§6.8)

CODE_MEANINGS = {
    NODE_BUSY: "node busy",
    UNKNOWN_COMMAND: "invalid command",
    TIMED_OUT: "timeout",
    LENGTH_INVALID: "request data length invalid",
    INVALID_FIELD: "invalid data field",
    UNREACHABLE: "destination unavailable",
    TOO_LITTLE_PRIVILEGE: "insufficient privilege level",
    NOT_IN_THIS_STATE: "not supported in present state",
    UNSPECIFIED: "unspecified error",
}

OWN_CODE_MEANINGS = {
    "chassis.bootparam.set": {PARAMETER_NOT_SUPPORTED: "parameter not supported"},
    "chassis.bootparam.get": {PARAMETER_NOT_SUPPORTED: "parameter not supported"},
    "chassis.bootdev.set": {PARAMETER_NOT_SUPPORTED: "parameter not supported"},
    "chassis.bootdev.get": {PARAMETER_NOT_SUPPORTED: "parameter not supported"},
    "sol.activate": {PAYLOAD_IN_USE: "payload already active on another session"},
    "sol.deactivate": {PAYLOAD_NOT_ACTIVE: "payload already deactivated"},
    "session.privilege": {PRIVILEGE_EXCEEDS_LIMIT: "exceeds the limit of the user or the session"},
}

COMMANDS: Mapping[tuple[int, int], tuple[str, int]] = {
    (CHASSIS, 0x01): ("chassis.status", USER),
    (CHASSIS, 0x02): ("chassis.power", OPERATOR),
    (CHASSIS, 0x07): ("chassis.restart_cause", USER),
    (CHASSIS, 0x08): ("chassis.bootparam.set", OPERATOR),
    (CHASSIS, 0x09): ("chassis.bootparam.get", OPERATOR),
    (APP, 0x01): ("mc.info", USER),
    (APP, 0x02): ("mc.reset.cold", ADMINISTRATOR),
    (APP, 0x03): ("mc.reset.warm", ADMINISTRATOR),
    (APP, 0x04): ("mc.selftest", USER),
    (APP, 0x37): ("mc.guid", USER),
    (APP, 0x38): ("channel.auth_capabilities", 0),
    (APP, 0x3B): ("session.privilege", 0),
    (APP, 0x3C): ("session.close", 0),
    (APP, 0x48): ("sol.activate", USER),
    (APP, 0x49): ("sol.deactivate", USER),
    (APP, 0x4A): ("sol.status", USER),
    (APP, 0x4B): ("sol.instance", USER),
    (APP, 0x54): ("channel.ciphers", 0),
    (TRANSPORT, 0x22): ("sol.info", USER),
}
"""Name in the audit log, and the least privilege (appendix G)."""

POWER_VERBS = {0: "off", 1: "on", 2: "cycle", 3: "reset", 4: "diag", 5: "soft"}
"""§28.3, chassis control."""

BOOT_DEVICES = {0: "none", 1: "network", 2: "disk", 5: "cdrom", 6: "setup", 15: "floppy"}
"""§28.13, parameter 5: the boot device selectors that tools know by name."""

BOOT_FLAGS_PARAMETER = 5


def command_name(netfn: int, command: int, data: bytes) -> str:
    """How the audit log calls a command; unknown ones by their numbers."""
    known = COMMANDS.get((netfn, command))
    if known is None:
        return f"raw.{netfn:#04x}.{command:#04x}"
    name = known[0]
    if name == "chassis.power":
        return f"{name}.{POWER_VERBS.get(data[0] & 0x0F, 'unknown') if data else 'unknown'}"
    if name.startswith("chassis.bootparam") and data and data[0] & 0x7F == BOOT_FLAGS_PARAMETER:
        return name.replace("bootparam", "bootdev")
    return name


def arguments(name: str, data: bytes) -> dict[str, Any]:
    """What the audit log says of a command's data."""
    if name == "chassis.bootdev.set" and len(data) >= 3:
        selector = data[2] >> 2 & 0x0F
        return {
            "device": BOOT_DEVICES.get(selector, f"{selector:#x}"),
            "persistent": bool(data[1] & 0x40),
            "uefi": bool(data[1] & 0x20),
        }
    if name.startswith(("chassis.power.", "chassis.bootdev.get")) or not data:
        return {}
    return {"data": data.hex()}


def result(name: str, code: int) -> str:
    """A completion code as the audit log shows it."""
    if code == OK:
        return "ok"
    meaning = OWN_CODE_MEANINGS.get(name, {}).get(code) or CODE_MEANINGS.get(code, "")
    return f"0x{code:02X} {meaning}".rstrip()
