from __future__ import annotations

from provisioner.protocols.events import WireEvent
from provisioner.services.dnsmasq_log import STRANGER_EVERY_S, DnsmasqLog
from tests.unit.fakes import JumpingClock

MAC = "52:54:00:77:00:01"
BOOT = f"""dnsmasq-dhcp: 2010515 available DHCP subnet: 10.77.0.0/255.255.255.0
dnsmasq-dhcp: 2010515 vendor class: PXEClient:Arch:00000:UNDI:002001
dnsmasq-dhcp: 2010515 user class: iPXE
dnsmasq-dhcp: 2010515 DHCPDISCOVER(prov0) {MAC}
dnsmasq-dhcp: 2010515 tags: node-1, bios, ipxe, known, prov0
dnsmasq-dhcp: 2010515 DHCPOFFER(prov0) 10.77.0.100 {MAC}
dnsmasq-dhcp: 2010515 sent size: 52 option: 67 bootfile-name  http://10.77.0.10:8080/boot/s3cret/boot.ipxe
dnsmasq-dhcp: 2010515 DHCPREQUEST(prov0) 10.77.0.100 {MAC}
dnsmasq-dhcp[812]: 2010515 DHCPACK(prov0) 10.77.0.100 {MAC} n1
dnsmasq: exiting on receipt of SIGTERM"""


def read(*lines: str, clock: JumpingClock | None = None) -> list[WireEvent]:
    events: list[WireEvent] = []
    log = DnsmasqLog(events.append, clock or JumpingClock())
    for line in lines:
        log.line(line)
    return events


def test_a_boot_is_four_events_with_who_asked_and_what_was_given() -> None:
    events = read(*BOOT.splitlines())
    assert [event.name for event in events] == ["dhcp.discover", "dhcp.offer", "dhcp.request", "dhcp.ack"]
    assert {event.mac for event in events} == {MAC}
    assert {event.detail["client"] for event in events} == {"iPXE"}
    assert events[-1].detail["address"] == "10.77.0.100"
    assert "s3cret" not in repr(events)


def test_a_refusal_carries_its_reason() -> None:
    (event,) = read(f"dnsmasq-dhcp: 7 DHCPNAK(prov0) 10.77.0.9 {MAC} wrong network")
    assert (event.name, event.detail["note"]) == ("dhcp.nak", "wrong network")


def test_a_stranger_is_seen_once_a_minute() -> None:
    clock = JumpingClock()
    events: list[WireEvent] = []
    log = DnsmasqLog(events.append, clock)
    line = f"dnsmasq-dhcp: 7 DHCPDISCOVER(prov0) {MAC} ignored"
    for _ in range(3):
        log.line(line)
    assert [event.detail.get("ignored") for event in events] == [True]
    clock.now_s += STRANGER_EVERY_S
    log.line(line)
    assert len(events) == 2


def test_lines_that_say_nothing_of_clients_are_no_events() -> None:
    assert read("dnsmasq: started, version 2.90", "", "DHCPACK", "dnsmasq-dhcp: 1 DHCPFOO(x) " + MAC) == []


def test_a_vendor_class_of_any_length_is_kept_short() -> None:
    lines = (f"dnsmasq-dhcp: 7 vendor class: {'x' * 5000}", f"dnsmasq-dhcp: 7 DHCPDISCOVER(prov0) {MAC}")
    (event,) = read(*lines)
    assert len(str(event.detail["client"])) == 80
