"""The agent of the deploy ramdisk: prepares a node's disks on the order of the compute host that owns it.

Standard library alone, Python 3.9 or newer, the same on every architecture. The protocol is told in
docs/agent-protocol.md.
"""

VERSION = "1.1"
"""Of the protocol: another one whenever a command takes or gives something new."""
