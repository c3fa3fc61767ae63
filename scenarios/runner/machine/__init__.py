"""The machine fidelity: emulated machines with real firmware and kernels, the provisioner as it is run."""
