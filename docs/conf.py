"""Settings of the documentation."""

import re
import tomllib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_here = Path(__file__).parent
_pyproject = _here.parent / "pyproject.toml"

project = "parallelize"
author = "the parallelize authors"
copyright = "2026, the parallelize authors"
version = release = tomllib.loads(_pyproject.read_text())["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "examples"]

html_theme = "furo"
html_title = "parallelize"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
pygments_dark_style = "github-dark"

# In a docstring `name` links to what it names, where that is documented.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False


# The names of the standard library that docstrings link to: without a network.
def _inventory() -> Path:
    """Write the inventory of python-names.txt where Sphinx reads it."""
    lines = (_here / "python-names.txt").read_text().splitlines()
    text = "".join(f"{n} {k} 1 {page}#{n} -\n" for n, k, page in map(str.split, lines))
    head = "# Sphinx inventory version 2\n# Project: Python\n# Version: 3\n"
    path = _here / "_build" / "python.inv"
    path.parent.mkdir(exist_ok=True)
    packed = zlib.compress(text.encode())
    path.write_bytes(
        f"{head}# The remainder is compressed by zlib.\n".encode() + packed
    )
    return path


intersphinx_mapping = {"python": ("https://docs.python.org/3", str(_inventory()))}


def _write_llms(app: "Sphinx", error: Exception | None) -> None:
    """Write llms.txt: what there is to read, with the first words of each page."""
    if error is None and app.builder.name == "html":
        lines = [_promise(), ""]
        for caption, names in _contents():
            lines += [f"## {caption}", "", *map(_entry, names), ""]
        (Path(app.outdir) / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _promise() -> str:
    title, promise, *_ = (_here.parent / "README.md").read_text().split("\n\n")
    return f"{title}\n\n> {' '.join(promise.strip('*').split())}"


def _contents() -> list[tuple[str, list[str]]]:
    """Return the captions of the first page with the names of their pages."""
    text = (_here / "index.md").read_text()
    found = re.findall(r":caption: (\S+)\n\n(.*?)```", text, re.DOTALL)
    return [(caption, names.split()) for caption, names in found]


def _entry(name: str) -> str:
    text = (_here / f"{name}.md").read_text()
    if "{include}" in text:  # the changelog
        text = (_here.parent / "CHANGELOG.md").read_text()
    title, _, rest = text.partition("\n")
    first = " ".join(rest.strip().split("\n\n")[0].split())
    return f"- [{title.strip('# ')}]({name}.html): {first}"


def setup(app: "Sphinx") -> None:
    app.connect("build-finished", _write_llms)
