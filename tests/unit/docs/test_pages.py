import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("fixtures/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
HEADING = re.compile(r"\]\(([^)#\s]*\.md)?#([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.relative_to(PROJECT)} links to what isn't there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    text = page.read_text()
    links = [(target, heading) for target, heading in HEADING.findall(text) if "://" not in target]
    missing = [
        f"{target}#{heading}"
        for target, heading in links
        if heading not in _headings((page.parent / target).read_text() if target else text)
    ]
    assert not missing, f"{page.relative_to(PROJECT)} links to headings that aren't there"


def _headings(text: str) -> set[str]:
    """As pages are shown: in lower case, without punctuation, with hyphens for spaces."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_decision_is_listed() -> None:
    listed = (PROJECT / "docs/adr/README.md").read_text()
    assert [page.name for page in PROJECT.glob("docs/adr/0*.md") if page.name not in listed] == []
