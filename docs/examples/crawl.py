"""Crawls a site of 300 pages: fetched in threads, parsed in processes, kept in SQLite.

Kill it at any moment, by kill -9 too, and start it again with the same folder: pages
that it has fetched are not fetched again. The site is a server in this program, some
pages of which take a hundred times as long as others.

usage: crawl.py [folder]
"""

from __future__ import annotations

import http.server
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

from parallelize import processed, threaded

PAGES = 300
requested: list[str] = []


class Site(http.server.BaseHTTPRequestHandler):
    """The server: each page links to three others."""

    def do_GET(self) -> None:
        requested.append(self.path)
        page = int(self.path.removeprefix("/"))
        time.sleep(0.3 if page % 25 == 0 else 0.003)
        links = [f'<a href="/{page * n % PAGES}">{n}</a>' for n in (2, 3, 5)]
        body = f"<title>Page {page}</title> {' '.join(links)}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of each request."""


class Links(HTMLParser):
    """Collects what a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [int(to.strip("/")) for _, to in attrs if to]


@threaded(max_workers=16)
def fetch(page: int) -> str:
    """Return the text of a page."""
    with urllib.request.urlopen(f"{site}/{page}", timeout=10) as answer:
        html: str = answer.read().decode()
    return html


@processed
def find_links(page: int, html: str) -> list[tuple[int, int]]:
    """Return pairs of the page and one that it links to."""
    links = Links()
    links.feed(html)
    return [(page, to) for to in links.found]


def crawl(folder: Path) -> int:
    """Store the links between all pages; return their number."""
    fetched = fetch.map(
        range(PAGES), ordered=False, with_input=True, checkpoint=folder / "fetched.db"
    )
    with closing(sqlite3.connect(folder / "links.db")) as links:
        links.execute(
            "create table if not exists links (page, target, unique (page, target))"
        )
        for some in find_links.starmap(fetched, ordered=False):
            with links:  # a transaction; what was stored before a kill is there already
                links.executemany("insert or ignore into links values (?, ?)", some)
        ((count,),) = links.execute("select count(*) from links")
    return int(count)


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory() as temporary:
        count = crawl(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
    server.shutdown()

print(f"{count} links between {PAGES} pages, {len(requested)} of them fetched now")
