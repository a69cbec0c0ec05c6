"""Documentation that can be checked is checked."""

from __future__ import annotations

import re
from pathlib import Path

from mpsearch.cli.reference import text


def test_the_command_line_reference_is_what_help_says(root: Path) -> None:
    assert (root / "docs/cli.md").read_text() == text(), "run: python -m mpsearch.cli.reference > docs/cli.md"


def test_relative_links_lead_somewhere(root: Path) -> None:
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    broken = [
        f"{page.relative_to(root)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken


def test_every_command_in_the_readme_exists(root: Path) -> None:
    commands = set(re.findall(r"`(?:\.venv/bin/)?mpsearch ([a-z][a-z-]+)", (root / "README.md").read_text()))
    known = set(re.findall(r"^## mpsearch (\S+)", text(), re.M))
    assert commands <= known
    assert commands


def test_modules_stay_small(root: Path) -> None:
    long = {
        str(path.relative_to(root)): lines
        for path in (root / "src").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long
