"""Stories that put the provisioner against a rack: see docs/scenarios.md."""
