"""A rack's private world: namespaces, wires, libvirt, and the first process that holds them together."""
