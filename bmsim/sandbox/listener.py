"""A passive ear on the provisioning bridge: every frame that passes, once, chosen by the kernel."""

from __future__ import annotations

import ctypes
import socket
import struct

from bmsim.sandbox.frames import AGENT_PORT, HTTP_PORT, ISCSI_PORT

BRIDGE = "prov"

SNAP_BYTES = 2048
BUFFER_BYTES = 16 * 2**20
"""A second of a fast transfer: the machines emulated beside us leave little time."""

# linux/if_ether.h, linux/if_packet.h, asm-generic/socket.h
ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33

# linux/bpf_common.h
LD_H_ABS, LD_B_ABS, LD_H_IND, LD_B_IND, LDX_MSH = 0x28, 0x30, 0x48, 0x50, 0xB1
JEQ, JSET, AND, RSH, ADD_X, TAX, RET = 0x15, 0x45, 0x54, 0x74, 0x0C, 0x07, 0x06

# Each: operation, jump if true, jump if false, operand. Accepted are all of UDP; of TCP, what a client says
# to the HTTP port (its acknowledgements tell what has arrived) and to an agent, the first packet of what both
# answer, of iSCSI targets the packets that open, close, or may answer a login, and of initiators those that
# break off.
FILTER = (
    (LD_H_ABS, 0, 0, 12),
    (JEQ, 0, 28, 0x0800),  # IPv4
    (LD_B_ABS, 0, 0, 23),
    (JEQ, 25, 0, 17),  # UDP
    (JEQ, 0, 25, 6),  # TCP
    (LD_H_ABS, 0, 0, 20),
    (JSET, 23, 0, 0x1FFF),  # a later fragment has no ports
    (LDX_MSH, 0, 0, 14),  # X: length of the IP header
    (LD_H_IND, 0, 0, 16),  # the port that it goes to
    (JEQ, 19, 0, HTTP_PORT),
    (JEQ, 18, 0, AGENT_PORT),
    (JEQ, 0, 2, ISCSI_PORT),
    (LD_B_IND, 0, 0, 27),
    (JSET, 15, 16, 0x04),  # RST
    (LD_H_IND, 0, 0, 14),  # the port that it comes from
    (JEQ, 4, 0, HTTP_PORT),
    (JEQ, 3, 0, AGENT_PORT),
    (JEQ, 0, 12, ISCSI_PORT),
    (LD_B_IND, 0, 0, 27),
    (JSET, 9, 0, 0x07),  # SYN, FIN, RST
    (LD_B_IND, 0, 0, 26),
    (AND, 0, 0, 0xF0),
    (RSH, 0, 0, 2),  # length of the TCP header
    (ADD_X, 0, 0, 0),
    (TAX, 0, 0, 0),
    (LD_B_IND, 0, 0, 14),  # the first byte of the payload; without one, the load ends in refusal
    (JEQ, 2, 0, ord("H")),
    (JEQ, 1, 0, 0x23),  # login response
    (RET, 0, 0, 0),
    (RET, 0, 0, SNAP_BYTES),
    (RET, 0, 0, 0),
)


def listen(interface: str = BRIDGE) -> socket.socket:
    """A socket that gets what passes the bridge, and sends to it. Needs root in the network namespace."""
    # Protocol 0: nothing is received before the filter is there.
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        program = b"".join(struct.pack("HBBI", *step) for step in FILTER)
        buffer = ctypes.create_string_buffer(program)
        # struct sock_fprog: a count, padding, a pointer
        ear.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(FILTER), ctypes.addressof(buffer))
        )
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        ear.bind((interface, ETH_P_ALL))
        # Without it a bridge hands up only what is meant for itself.
        membership = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
        ear.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        ear.setblocking(False)
    except BaseException:
        ear.close()
        raise
    return ear
