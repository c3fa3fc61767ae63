"""Where a demo's time went is read in what it tells."""

from tests.benchmarks.demo import Run

TOLD = """\

== Prepare: a ramdisk, or the cache  (0 s)
debian: /cache/root.qcow2

== An instance is asked for  (4 s)
✓  publish_boot              0.0 s  the deploy ramdisk is published for 52:54:00:77:00:01 at 10.77.0.100
✓  agent_ready              12.1 s  the agent reported: 1 CPUs, 1024 MiB of memory, /dev/vda 2048 MiB, 1 NIC
web is active at 10.77.0.100, 22.5 s after it was asked for

== All is taken down  (30 s)
nothing was left behind
"""


def test_a_chapter_takes_until_the_next_one_and_the_last_until_the_end() -> None:
    run = Run.read(TOLD, 31.5)
    assert run.chapters == {
        "Prepare: a ramdisk, or the cache": 4,
        "An instance is asked for": 26,
        "All is taken down": 1.5,
    }
    assert sum(run.chapters.values()) == run.whole == 31.5


def test_steps_are_those_of_the_instance() -> None:
    assert Run.read(TOLD, 31.5).steps == {"publish_boot": 0.0, "agent_ready": 12.1}
