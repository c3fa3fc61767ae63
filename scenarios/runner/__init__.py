"""Plays scenarios: the only code that imports both programs."""
