"""What the pages on the design name is there: files, classes, functions, tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "parallelize"
DESIGN = ROOT / "docs" / "design.md"


def test_the_tree_in_the_design_has_each_file():
    text = DESIGN.read_text(encoding="utf-8")
    (tree,) = re.findall(r"^```text\nparallelize/\n(.*?)^```", text, re.M | re.S)
    named, folders = set(), []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folder = re.match(r"\s*(\w+)/", line)
        folders = folders[:depth] + ([folder[1]] if folder else [])
        named |= {"/".join((*folders, name)) for name in re.findall(r"\w+\.py\b", line)}
    files = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    empty = {name for name in files if name.endswith("/__init__.py")}
    assert named == files - empty


@pytest.fixture(scope="module")
def words():
    """Every word of the code, and each part of the path of a file."""
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    paths = {part for file in files for part in file.relative_to(ROOT).parts}
    texts = (file.read_text(encoding="utf-8") for file in files)
    return paths.union(*(re.findall(r"\w+", text) for text in texts))


@pytest.mark.parametrize(
    "page",
    [
        "docs/design.md",
        "parallelize/process/README.md",
        "parallelize/threads/README.md",
    ],
)
def test_names_in_the_pages_on_the_design_are_those_of_the_code(page, words):
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    names = re.findall(r"`([\w./]+?)(?:\(.*?\))?`", prose)
    assert len(names) > 40
    for name in names:
        parts = re.findall(r"\w+\.py|\w+", name)
        assert set(parts) <= words or (ROOT / name).is_file(), name
