"""The command `provisioner`."""

from provisioner.cli.main import main

__all__ = ["main"]
