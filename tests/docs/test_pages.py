"""Links lead somewhere, README names every page, and the messages of the questions are those of the code."""

import re
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, name

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[\w-]+)?\)")


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        found = page.parent / target if target else page
        assert found.exists(), f"{name(page)}: no {target}"
        assert not anchor or anchor in anchors(found), f"{name(page)}: no {anchor} in {target}"


def test_readme_names_every_page() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert pages <= linked, f"README.md links to no {sorted(pages - linked)}"


def test_messages_of_the_questions_are_the_ones_that_are_said() -> None:
    table = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8").partition("## Messages")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hf_contrastive").rglob("*.py"))
    said = re.sub(r'"\n\s*f?"', "", sources)  # literals that stand one below the other
    assert len(messages) > 10
    assert not [message for message in messages if message not in said]
