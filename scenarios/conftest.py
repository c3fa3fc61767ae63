"""Scenarios are tests: `pytest scenarios/power` plays what is in that folder."""

from scenarios.runner.collect import pytest_collect_file

__all__ = ["pytest_collect_file"]
