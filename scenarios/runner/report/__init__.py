"""What is told of stories that have ended: text for a terminal, JUnit for a CI, a page for a person."""

from scenarios.runner.report.failure_text import failure_text
from scenarios.runner.report.junit import junit
from scenarios.runner.report.page import page

__all__ = ["failure_text", "junit", "page"]
