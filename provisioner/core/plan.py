"""Plans: what is done to a node, in which order. A path is a different list, not a different engine.

Every step is idempotent: it observes, compares and acts, so entering it twice does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.core.model import Node


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step of a plan.

    name:       also its name in the journal and in scenarios
    resume_at:  where a new process enters when it finds this step begun and not ended; None = here
    """

    name: str
    resume_at: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """An ordered list of steps; `max_retries` bounds the retries of one work, all steps together."""

    name: str
    steps: tuple[StepSpec, ...]
    max_retries: int

    def index(self, step: str) -> int:
        """Position of the step called `step`; LookupError when the plan has none (a broken invariant)."""
        for position, spec in enumerate(self.steps):
            if spec.name == step:
                return position
        raise LookupError(f"plan {self.name} has no step {step}")

    def after(self, step: str) -> str | None:
        """The step that follows, or None at the end."""
        position = self.index(step) + 1
        return self.steps[position].name if position < len(self.steps) else None

    @property
    def deploys(self) -> bool:
        """Whether it brings an instance to a node; others check one, or take it back."""
        return self.name.startswith("deploy-")

    @property
    def first(self) -> str:
        return self.steps[0].name

    def resume_at(self, step: str) -> str:
        """Where a process that finds `step` begun and not ended enters."""
        return self.steps[self.index(step)].resume_at or step


def _plan(name: str, *steps: StepSpec | str, max_retries: int) -> Plan:
    specs = tuple(step if isinstance(step, StepSpec) else StepSpec(step) for step in steps)
    return Plan(name, specs, max_retries)


_CLEAN_DISKS = (
    "publish_boot",
    "set_boot_device",
    "power_on",
    "agent_ready",
    "wipe",
    "power_off_clean",
)

PLANS = {
    plan.name: plan
    for plan in (
        _plan("enrol", "verify_power", max_retries=2),
        _plan(
            "deploy-iscsi",
            "publish_boot",
            "set_boot_device",
            "power_on",
            "agent_ready",
            "export_disk",
            # The target and its secret live in memory only and are new for each attempt:
            # a process that didn't make them starts from the export.
            StepSpec("write_image", resume_at="export_disk"),
            "verify_image",
            "partition_disk",
            "grow_root",
            "make_ephemeral",
            "make_swap",
            "write_config_drive",
            "publish_instance_boot",
            "reboot",
            "instance_running",
            max_retries=8,
        ),
        # No agent and no disk: what the node will run is on this side of the wire.
        _plan(
            "deploy-nfs",
            "make_root",
            "publish_instance_boot",
            "reboot",
            "instance_running",
            max_retries=8,
        ),
        # Nor here; and nobody on the board phones home: its pings, monitor and SSH server are what is seen.
        _plan(
            "deploy-tilera",
            "make_root",
            "publish_instance_boot",
            "reboot",
            "board_answers",
            "set_board_network",
            "start_board_sshd",
            "instance_running",
            # After its SSH server was seen: the rules may be there to let nobody see it but its owner.
            "filter_board_packets",
            # Its monitor is all there is to reach it by: five minutes of silence, as by a host that is cut
            # off from its nodes, must not be the end.
            max_retries=12,
        ),
        _plan("clean", "withdraw_instance", "power_off", *_CLEAN_DISKS, "withdraw_boot", max_retries=6),
        # A root is removed anew by whoever takes the end of a cleaning up: an owner from before may have been
        # thawed meanwhile, and have finished one. Their disks are cleaned too: whoever ruled the machine
        # could write to them.
        _plan(
            "clean-tilera",
            "withdraw_instance",
            "power_off",
            "remove_root",
            StepSpec("withdraw_boot", resume_at="remove_root"),
            max_retries=6,
        ),
        _plan(
            "clean-nfs",
            "withdraw_instance",
            "power_off",
            *_CLEAN_DISKS,
            "remove_root",
            StepSpec("withdraw_boot", resume_at="remove_root"),
            max_retries=6,
        ),
    )
}


def deploy_plan(node: Node) -> Plan:
    """How it gets an instance: as its deploy driver does it, unless its boot driver has a way of its own."""
    return PLANS.get(f"deploy-{node.boot_driver}") or PLANS[f"deploy-{node.deploy_driver}"]


def owes_wipe(node: Node) -> bool:
    """Whether its last instance's data may still lie on its disks. A board that has none isn't wiped."""
    return bool(node.wipe_owed) and any(step.name == "wipe" for step in clean_plan(node).steps)


def wipe_to_owe(owed: str, asked: str) -> str:
    """The stronger one of two wipes: what somebody was promised isn't lessened by another's word."""
    return "full" if "full" in (owed, asked) else owed or asked


def clean_plan(node: Node) -> Plan:
    """How it is taken back."""
    names = (f"clean-{node.boot_driver}", f"clean-{node.deploy_driver}", "clean")
    return next(PLANS[name] for name in names if name in PLANS)
