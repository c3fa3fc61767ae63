"""A rack in a box: emulated machines, BMCs and wires, and the faults they are known to have."""
