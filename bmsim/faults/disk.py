"""Faults of a node's first disk."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, NUMBER, By, Fault, Parameter


def _at_mib(what: str) -> Parameter:
    return Parameter("at_mib", None, (int,), f"{what} that touches this MiB fails; null: every one", least=0)


FAULTS = (
    Fault(
        "disk.read_error",
        "reads fail",
        BY_HEAL,
        "everyday",
        (_at_mib("each read"),),
    ),
    Fault(
        "disk.write_error",
        "writes fail",
        BY_HEAL,
        "everyday: in mid-write as well",
        (_at_mib("each write"),),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "disk.corrupts_writes",
        "takes writes, and holds other bytes afterwards",
        BY_HEAL,
        "everyday: a controller's cache without its battery, memory that is broken",
        (
            Parameter(
                "at_mib",
                None,
                (int,),
                "the sector where this MiB begins is corrupt; null: the first of every write",
                least=0,
            ),
        ),
    ),
    Fault(
        "disk.slow",
        "writes and reads take long",
        BY_HEAL,
        "everyday: a disk that remaps sectors, a RAID that rebuilds",
        (
            Parameter(
                "factor",
                10,
                NUMBER,
                "how many times longer; at machine than one of 100 MB/s, of reads and writes together",
                least=1,
            ),
        ),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "disk.too_small",
        "is smaller than it was said to be",
        "when it is healed, from the next start of the machine on",
        "everyday: the wrong disk, or another one first",
        (Parameter("size_mib", 64, (int,), "its size, from the next start of the machine on", least=1),),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault("disk.missing", "isn't there", "when it is healed, from the next start on", "everyday"),
    Fault(
        "disk.renamed",
        "has another name than at the boot before",
        "when it is healed, from the next start on",
        "everyday: the order of controllers is nobody's promise",
    ),
)
