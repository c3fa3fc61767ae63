"""The model fidelity: device models and the provisioner's own code in one process, in virtual time."""
