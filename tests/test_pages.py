"""README and documentation in a Chromium without a window; see tests/test_trace_page.py.

`PAGES_SHOTS=folder` also writes a picture of each page there.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from fenced import ROOT

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("sphinx")

from test_trace_page import DESK, PHONE, browser  # noqa: F401, E402  (a fixture)

SHOTS = os.environ.get("PAGES_SHOTS")
PAGES = [
    *("readme", "index", "guide", "api", "benchmarks", "guarantees", "recipes"),
    *("coming-from", "why", "tutorial"),
]

TABLES_FIT = ["index", "benchmarks", "guarantees", "why"]

# How GitHub shows tables and pictures, as far as widths are concerned.
FRAME = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>README</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 sans-serif; max-width: 900px; margin: 0 auto; padding: 16px }}
table {{ display: block; overflow: auto; border-collapse: collapse }}
th, td {{ border: 1px solid #8885; padding: 6px 13px }}
pre {{ overflow: auto; padding: 12px; background: #8882 }}
img {{ max-width: 100% }}
</style><body>{}</body></html>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built documentation, with the README beside it."""
    from markdown_it import MarkdownIt

    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html"]
    subprocess.run([*command, ROOT / "docs", folder / "docs"], check=True, timeout=300)
    shutil.copytree(ROOT / "docs" / "images", folder / "docs" / "images")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    body = MarkdownIt("commonmark").enable("table").render(text)
    (folder / "readme.html").write_text(FRAME.format(body), encoding="utf-8")
    return folder


def path_of(site, page):
    return site / "readme.html" if page == "readme" else site / "docs" / f"{page}.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.timeout(300)  # the first one builds the documentation
def test_page_fits_and_says_no_error(browser, site, page, size, scheme):  # noqa: F811
    errors = []
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("requestfailed", lambda request: errors.append(request.url))
    tab.goto(path_of(site, page).as_uri())
    if SHOTS:
        name = f"{page}-{size[0]}-{scheme}.png"
        picture = tab.screenshot(full_page=page != "guide")
        Path(SHOTS, name).write_bytes(picture)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    if page in TABLES_FIT:
        cut = "table => table.scrollWidth > table.parentElement.clientWidth"
        tables = tab.locator("article table").all()
        assert [each.inner_text() for each in tables if each.evaluate(cut)] == []
    pictures = tab.locator("article img, body > p img").all()
    assert [each for each in pictures if not each.get_attribute("alt")] == []
    assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    context.close()
    assert errors == []


@pytest.mark.timeout(300)
def test_internal_links_work(site):
    """In all pages: the file is there, and the place in it."""
    pages = [site / "readme.html", *(site / "docs").glob("*.html")]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    ids = {page: set(re.findall(r'\bid="([^"]+)"', texts[page])) for page in pages}
    broken = []
    for page, text in texts.items():
        for link in re.findall(r'<a [^>]*?href="([^"]+)"', text):
            path, place = urldefrag(unquote(link))
            if urlsplit(link).scheme:
                continue
            target = (page.parent / path).resolve() if path else page
            if page.stem == "readme":
                if target.parent != site / "docs":
                    continue  # a file of the repository: see tests/test_readme.py
                target = target.with_suffix(".html")
            if not target.exists() or (place and place not in ids.get(target, {place})):
                broken.append((page.name, link))
    assert broken == []


def test_llms_txt_lists_every_page(site):
    text = (site / "docs" / "llms.txt").read_text(encoding="utf-8")
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert set(re.findall(r"\((\S+)\.html\)", text)) == pages
