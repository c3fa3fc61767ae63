"""`/metrics`, in Prometheus' text format, from a registry of our own."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from provisioner.api.capacity import NOTHING, Offers
from provisioner.core.capacity import Size
from provisioner.core.model import Host, Instance, Node
from provisioner.core.seen_leases import Left
from provisioner.core.states import LIVE, ProvisionState
from provisioner.protocols.store import Tx


@dataclass(frozen=True, slots=True)
class CountedHost:
    name: str
    nodes: int
    lease_left_s: float
    epoch: int
    largest: Size | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What the store says of nodes and instances, by state, and of compute hosts."""

    nodes: Tally[str]
    instances: Tally[str]
    hosts: tuple[CountedHost, ...]


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.offers = Offers()
        self.requests = Histogram(
            "provisioner_api_request_seconds",
            "Time to answer a request",
            ("method", "route", "status"),
            registry=self.registry,
        )
        # Finding the child of some labels takes longer than to count with it.
        self._answers: dict[tuple[str, str, int], Histogram] = {}
        self._step: dict[str, Histogram] = {}
        self._steps = Histogram(
            "provisioner_step_seconds",
            "Time that a step took, from when this process entered it",
            ("step",),
            buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
            registry=self.registry,
        )
        self._retries = Counter(
            "provisioner_step_retries", "Steps that were tried again", ("step",), registry=self.registry
        )
        self._nodes = Gauge("provisioner_nodes", "Nodes by state", ("state",), registry=self.registry)
        self._left_alone = Gauge(
            "provisioner_power_devices_left_alone",
            "Power devices that don't answer and are asked rarely (their breaker is open)",
            registry=self.registry,
        )
        self._served_otherwise = Gauge(
            "provisioner_nodes_served_otherwise",
            "Nodes whose boot this process failed to publish, or to withdraw; it tries again",
            registry=self.registry,
        )
        self._instances = Gauge(
            "provisioner_instances", "Instances by state", ("state",), registry=self.registry
        )
        self._host_nodes = Gauge(
            "provisioner_host_nodes", "Nodes that a compute host owns", ("host",), registry=self.registry
        )
        self._host_lease = Gauge(
            "provisioner_host_lease_left_seconds",
            "How long a compute host may still act unless it renews its lease; 0: it is gone",
            ("host",),
            registry=self.registry,
        )
        self._host_largest = Gauge(
            "provisioner_host_largest_free_node",
            "The largest node that a compute host can still offer, in CPUs and MiB; 0: no node is free",
            ("host", "resource"),
            registry=self.registry,
        )
        self._host_epoch = Gauge(
            "provisioner_host_epoch",
            "Grows when a compute host starts, and when it is taken for dead",
            ("host",),
            registry=self.registry,
        )

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """A request of the API."""
        labels = method, route, status
        child = self._answers.get(labels)
        if child is None:
            child = self._answers[labels] = self.requests.labels(method, route, str(status))
        child.observe(took_s)

    def step_ended(self, step: str, took_s: float) -> None:
        """As `protocols.meter.StepMeter`."""
        child = self._step.get(step)
        if child is None:
            child = self._step[step] = self._steps.labels(step)
        child.observe(took_s)

    def step_retried(self, step: str) -> None:
        """As `protocols.meter.StepMeter`."""
        self._retries.labels(step).inc()

    def served_otherwise(self, nodes: int) -> None:
        """As `protocols.meter.StepMeter`."""
        self._served_otherwise.set(nodes)

    def follow_devices(self, left_alone: Callable[[], int]) -> None:
        """left_alone: how many there are, asked when somebody wants to know."""
        self._left_alone.set_function(left_alone)

    def count(self, tx: Tx, largest: Mapping[str, Size], left: Callable[[Host, Tx], Left]) -> Counted:
        """Instances without deleted ones. largest: as `Offers` has it. left: of hosts' leases."""
        nodes = Tally({str(s): tx.count(Node, where={"state": s}) for s in ProvisionState})
        instances = Tally({str(s): tx.count(Instance, where={"state": s}) for s in LIVE})
        hosts = []
        for host in tx.find(Host):
            left_s = left(host, tx).left_s
            owned = tx.count(Node, where={"owner": host.id})
            offered = largest.get(host.id) if left_s else None
            hosts.append(CountedHost(host.id, owned, left_s, host.epoch, offered))
        return Counted(nodes, instances, tuple(hosts))

    def own_text(self) -> bytes:
        """What this process measured; nothing of what the store says of all."""
        return generate_latest(self.registry)

    def text(self, counted: Counted) -> bytes:
        for gauge, tally in ((self._nodes, counted.nodes), (self._instances, counted.instances)):
            for state, number in tally.items():
                gauge.labels(state).set(number)
        for gauge in (self._host_nodes, self._host_lease, self._host_epoch, self._host_largest):
            gauge.clear()  # of hosts that were forgotten
        for host in counted.hosts:
            self._host_nodes.labels(host.name).set(host.nodes)
            self._host_lease.labels(host.name).set(host.lease_left_s)
            self._host_epoch.labels(host.name).set(host.epoch)
            for resource, amount in (host.largest or NOTHING)._asdict().items():
                self._host_largest.labels(host.name, resource).set(amount)
        return generate_latest(self.registry)
