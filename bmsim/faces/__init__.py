"""Wire dialects over the devices: what a provisioner talks to."""
