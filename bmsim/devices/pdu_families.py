"""The MIBs of PDU families, as far as outlets go: one row each, from the vendors' documents.

Written apart from what the provisioner knows of them: what both got wrong alike would be seen by nobody.
Sources: fixtures/SOURCES.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bmsim.devices.pdu import Order, Told

ON, OFF, PENDING_ON, PENDING_OFF = Told.ON, Told.OFF, Told.PENDING_ON, Told.PENDING_OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One object per outlet, below enterprises; without {outlet} in `oid` one of each unit of a chain, and
    without {unit} too, one of the whole PDU.

    states: how it tells the outlet's state. orders: what a value that is written does; delays: the value is
    seconds to wait before that. rests_at: what a command reads as. milliamps_per_unit, milliwatts_per_unit:
    it tells the current, or the active power. says: it always says that. names: it tells the outlet's name.
    None of them: the index itself. missing: what it says for outlets that its family may have and the PDU
    hasn't; None: it has no such object then.
    """

    oid: str
    states: Mapping[Told, int] = field(default_factory=dict)
    orders: Mapping[int, Order] = field(default_factory=dict)
    delays: bool = False
    rests_at: int = 0
    milliamps_per_unit: int = 0
    milliwatts_per_unit: int = 0
    says: int | None = None
    names: bool = False
    missing: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PduFamily:
    """system: its sysObjectID, below enterprises. outlets: the most of them, in each unit. arc: what stands
    for an outlet's number. units: the most in a chain. unit: what stands for its first, second and so on."""

    name: str
    description: str
    system: str
    outlets: int
    columns: tuple[Column, ...]
    arc: Callable[[int], int] = int
    units: int = 1
    unit: Callable[[int], str] = str


def place(outlet: int, unit_outlets: int) -> tuple[int, int]:
    """In a chain whose outlets are counted through: the unit that has it, and its number there, from 1."""
    unit, number = divmod(outlet - 1, unit_outlets)
    return unit + 1, number + 1


def _states(
    on: int, off: int, pending_on: int | None = None, pending_off: int | None = None
) -> dict[Told, int]:
    """A MIB without words for an outlet on its way shows where it comes from."""
    return {
        ON: on,
        OFF: off,
        PENDING_ON: off if pending_on is None else pending_on,
        PENDING_OFF: on if pending_off is None else pending_off,
    }


def _orders(on: int, off: int, reboot: int | None = None) -> dict[int, Order]:
    orders = {on: Order.ON, off: Order.OFF}
    return orders if reboot is None else {**orders, reboot: Order.REBOOT}


def _first_infeed(unit: int) -> str:
    """Of a tower, of a unit with cords, or of a switch: the only one that is emulated."""
    return f"{unit}.1"


_ALL = (
    PduFamily(
        name="apc_masterswitch",
        description="APC MasterSwitch (emulated)",
        system="318.1.3.4.2",
        outlets=24,
        columns=(
            Column(oid="318.1.1.4.4.2.1.1.{outlet}"),  # sPDUOutletControlIndex
            Column(oid="318.1.1.4.4.2.1.3.{outlet}", states=_states(1, 2), orders=_orders(1, 2, 3)),
            Column(oid="318.1.1.4.4.2.1.4.{outlet}", names=True),
        ),
    ),
    PduFamily(
        name="apc_masterswitchplus",
        description="APC MasterSwitch Plus (emulated)",
        system="318.1.3.4.4",
        outlets=8,
        columns=(
            # sPDUOutletControlMSPOutletCommand: what it reads as isn't told; as what would lead there
            Column(oid="318.1.1.6.5.1.1.5.{unit}.{outlet}", states=_states(1, 3), orders=_orders(1, 3, 5)),
            Column(oid="318.1.1.6.7.1.1.5.{unit}.{outlet}", states=_states(1, 2)),  # …StatusMSPOutletState
        ),
        units=4,
        unit=_first_infeed,
    ),
    PduFamily(
        name="apc_rackpdu",
        description="APC Switched Rack PDU (emulated)",
        system="318.1.3.4.5",
        outlets=48,
        columns=(
            Column(oid="318.1.1.12.3.3.1.1.1.{outlet}"),  # rPDUOutletControlIndex
            Column(oid="318.1.1.12.3.3.1.1.2.{outlet}", names=True),
            Column(oid="318.1.1.12.3.3.1.1.4.{outlet}", states=_states(1, 2), orders=_orders(1, 2, 3)),
            Column(oid="318.1.1.12.3.5.1.1.4.{outlet}", states=_states(1, 2)),  # rPDUOutletStatusOutletState
            Column(oid="318.1.1.12.3.5.1.1.7.{outlet}", milliamps_per_unit=100),  # rPDUOutletStatusLoad
            Column(oid="318.1.1.12.2.3.1.1.2.1", milliamps_per_unit=100),  # rPDULoadStatusLoad, phase 1
            Column(oid="318.1.1.12.1.16.0", milliwatts_per_unit=1000),  # rPDUIdentDevicePowerWatts
        ),
    ),
    PduFamily(
        name="aten",
        description="ATEN PE (emulated)",
        system="21317.1.3.2",
        outlets=42,
        columns=(
            Column(  # not-support(7)
                oid="21317.1.3.2.2.2.2.{outlet}.0",
                states=_states(2, 1, 3, 3),
                orders=_orders(2, 1, 4),
                missing=7,
            ),
            Column(oid="21317.1.3.2.2.2.1.99.1.2.1", milliamps_per_unit=1),  # deviceIntegerCurrent
            Column(oid="21317.1.3.2.2.2.1.99.1.4.1", milliwatts_per_unit=1),  # deviceIntegerPower
        ),
        # outlet1Status to outlet8Status are .2 to .9; .10 is something else
        arc=lambda outlet: outlet + (1 if outlet < 9 else 2),
    ),
    PduFamily(
        name="cyberpower",
        description="CyberPower Switched ePDU (emulated)",
        system="3808.1.1.3",
        outlets=48,
        columns=(
            Column(oid="3808.1.1.3.3.3.1.1.1.{outlet}"),
            Column(oid="3808.1.1.3.3.3.1.1.2.{outlet}", names=True),
            Column(oid="3808.1.1.3.3.3.1.1.4.{outlet}", states=_states(1, 2), orders=_orders(1, 2, 3)),
            Column(oid="3808.1.1.3.3.5.1.1.7.{outlet}", milliamps_per_unit=100),  # ePDUOutletStatusLoad
            Column(oid="3808.1.1.3.3.5.1.1.8.{outlet}", milliwatts_per_unit=1000),  # …ActivePower
        ),
    ),
    PduFamily(
        name="eatonpower",
        description="Eaton ePDU (emulated)",
        system="534.6.6.7",
        outlets=48,
        units=8,
        unit=lambda unit: str(unit - 1),  # strappingIndex: 0 is the one that is asked
        columns=(
            # outletControlStatus, OffCmd, OnCmd, RebootCmd: what is written are seconds, -1 is at rest
            Column(oid="534.6.6.7.6.6.1.2.{unit}.{outlet}", states=_states(1, 0, 3, 2)),
            Column(oid="534.6.6.7.6.6.1.3.{unit}.{outlet}", orders={0: Order.OFF}, delays=True, rests_at=-1),
            Column(oid="534.6.6.7.6.6.1.4.{unit}.{outlet}", orders={0: Order.ON}, delays=True, rests_at=-1),
            Column(
                oid="534.6.6.7.6.6.1.5.{unit}.{outlet}", orders={0: Order.REBOOT}, delays=True, rests_at=-1
            ),
            Column(oid="534.6.6.7.6.4.1.3.{unit}.{outlet}", milliamps_per_unit=1),  # outletCurrent
            Column(oid="534.6.6.7.6.5.1.3.{unit}.{outlet}", milliwatts_per_unit=1000),  # outletWatts
        ),
    ),
    PduFamily(
        name="teltronix",
        description="Teltronix PDU (emulated)",
        system="23620.1",
        outlets=24,
        columns=(Column(oid="23620.1.2.2.1.4.{outlet}", states=_states(2, 1), orders=_orders(2, 1)),),
    ),
    PduFamily(
        name="baytech_mrp27",
        description="BayTech MRP27 (emulated)",
        system="4779.1",
        outlets=24,
        units=8,  # sBTAModulesRPCOutletModuleIndex; nobody says how many
        columns=(
            Column(oid="4779.1.3.5.3.1.2.{unit}.{outlet}"),
            Column(oid="4779.1.3.5.3.1.3.{unit}.{outlet}", states=_states(1, 0), orders=_orders(1, 0, 2)),
            Column(oid="4779.1.3.5.3.1.4.{unit}.{outlet}", names=True),
            Column(oid="4779.1.3.5.2.1.4.{unit}", milliamps_per_unit=100),  # sBTAModulesRPCCurrent
            Column(oid="4779.1.3.5.2.1.7.{unit}", milliwatts_per_unit=1000),  # sBTAModulesRPCPower
        ),
    ),
    PduFamily(
        name="servertech_sentry3",
        description="Sentry Switched CDU (emulated)",
        system="1718.3",
        outlets=48,
        units=4,  # towerIndex
        unit=_first_infeed,
        columns=(
            Column(oid="1718.3.2.3.1.3.{unit}.{outlet}", names=True),
            Column(oid="1718.3.2.3.1.5.{unit}.{outlet}", states=_states(1, 0, 3, 2)),  # outletStatus
            Column(oid="1718.3.2.3.1.7.{unit}.{outlet}", milliamps_per_unit=10),  # outletLoadValue
            Column(oid="1718.3.2.3.1.11.{unit}.{outlet}", orders=_orders(1, 2, 3)),  # outletControlAction
            Column(oid="1718.3.2.3.1.14.{unit}.{outlet}", milliwatts_per_unit=1000),  # outletPower
        ),
    ),
    PduFamily(
        name="servertech_sentry4",
        description="Sentry PRO2 (emulated)",
        system="1718.4",
        outlets=96,
        units=6,  # st4UnitIndex
        unit=_first_infeed,
        columns=(
            Column(oid="1718.4.1.8.3.1.3.{unit}.{outlet}", milliamps_per_unit=10),  # st4OutletCurrent
            Column(oid="1718.4.1.8.3.1.7.{unit}.{outlet}", milliwatts_per_unit=1000),  # st4OutletActivePower
            Column(oid="1718.4.1.8.5.1.1.{unit}.{outlet}", states=_states(3, 2, 8, 9)),  # idleOn, idleOff
            Column(oid="1718.4.1.8.5.1.2.{unit}.{outlet}", orders=_orders(1, 2, 3)),
        ),
    ),
    PduFamily(
        name="raritan_pdu2",
        description="Raritan PX3 (emulated)",
        system="13742.6",
        outlets=54,
        units=8,  # pduId
        columns=(
            Column(oid="13742.6.4.1.2.1.2.{unit}.{outlet}", orders=_orders(1, 0, 2)),  # switchingOperation
            Column(oid="13742.6.4.1.2.1.3.{unit}.{outlet}", states=_states(7, 8)),  # outletSwitchingState
            # measurementsOutletSensorValue of rmsCurrent and activePower, with outletSensorDecimalDigits: the
            # MIB leaves a sensor's unit to the PDU
            Column(oid="13742.6.5.4.3.1.4.{unit}.{outlet}.1", milliamps_per_unit=1),
            Column(oid="13742.6.3.5.4.1.7.{unit}.{outlet}.1", says=3),
            Column(oid="13742.6.5.4.3.1.4.{unit}.{outlet}.5", milliwatts_per_unit=1000),
            Column(oid="13742.6.3.5.4.1.7.{unit}.{outlet}.5", says=0),
        ),
    ),
    PduFamily(
        name="vertivgeist_pdu",
        description="Vertiv Geist rPDU (emulated)",
        system="21239.42.1.53",  # of those with an IMD3, the current ones
        outlets=100,
        columns=(
            Column(oid="21239.5.2.3.5.1.3.{outlet}", names=True),  # pduOutletSwitchLabel
            Column(oid="21239.5.2.3.5.1.4.{outlet}", states=_states(1, 2, 4, 3)),  # pduOutletSwitchState
            Column(oid="21239.5.2.3.5.1.6.{outlet}", orders=_orders(2, 4, 6), rests_at=8),
            Column(oid="21239.5.2.3.6.1.8.{outlet}", milliamps_per_unit=10),  # pduOutletMeterCurrent
            Column(oid="21239.5.2.3.6.1.12.{outlet}", milliwatts_per_unit=1000),  # pduOutletMeterRealPower
        ),
    ),
)

FAMILIES: Mapping[str, PduFamily] = MappingProxyType({family.name: family for family in _ALL})
