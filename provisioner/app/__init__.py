"""The wiring: the only place that knows which implementation stands behind which protocol."""

from provisioner.app.serve import serve

__all__ = ["serve"]
