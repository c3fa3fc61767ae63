"""Faults of what a node boots."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, By, Fault, Parameter, count

FAULTS = (
    Fault(
        "boot.wrong_arch",
        "asks for the boot file of another architecture than its own",
        BY_HEAL,
        "everyday: a CSM switched on, firmware that lies in option 93",
    ),
    Fault(
        "boot.wrong_image",
        "the kernel, or the init of its root, is another processor's, and the board refuses it",
        BY_HEAL,
        "everyday: whoever builds for tilepro64 on a PC forgets the cross compiler once; its loader looks at"
        " e_machine (EM_TILEPRO, 188)",
        (Parameter("part", "kernel", (str,), "which of them", choices=("kernel", "init")),),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "boot.ignores_flag",
        "netboots at every start, whatever its BMC was told",
        BY_HEAL,
        "reinstall loops (tinkerbell PR 952, smee #243)",
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "boot.loop",
        "what it starts panics, and the machine starts again, and so on",
        "after count boots, or when it is healed",
        "everyday: a driver that is missing, memory that is broken",
        (
            Parameter("at", "kernel", (str,), "how far a boot gets", choices=("kernel", "agent")),
            count(),
        ),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
)
