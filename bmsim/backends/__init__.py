"""What stands behind a machine: libvirt's QEMU guests."""
