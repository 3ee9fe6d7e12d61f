"""Settings of the documentation."""

import tomllib
from pathlib import Path

_pyproject = Path(__file__).parent.parent / "pyproject.toml"

project = "parallelize"
author = "the parallelize authors"
copyright = "2026, the parallelize authors"
version = release = tomllib.loads(_pyproject.read_text())["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
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
