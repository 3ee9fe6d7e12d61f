"""The examples of the documentation run, and give the answers that they promise.

Never how fast they were: that depends on the machine and on what else it does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from fenced import ROOT, examples_of, printed_by, run_script
from support.waiting import wait_until

EXAMPLES = ROOT / "docs" / "examples"
PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def seconds_shown(printed: str, what: str) -> float:
    (seconds,) = re.findall(rf"^{re.escape(what)} +([0-9.]+) s$", printed, re.MULTILINE)
    return float(seconds)


def run_example(name: str, *arguments: str, folder: Path, timeout: float = 50) -> str:
    """Run an example in an empty folder; it must leave nothing there."""
    ended = run_script(EXAMPLES / name, *arguments, cwd=folder, timeout=timeout)
    assert list(folder.iterdir()) == []
    return ended.stdout


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.mark.long
@pytest.mark.timeout(130)
def test_primes(empty):
    printed = run_example("primes.py", folder=empty, timeout=120)
    for way in ("plain loop", "ProcessPoolExecutor", "@processed", "process_map"):
        assert seconds_shown(printed, way) > 0
    assert printed.splitlines()[-7:] == [
        "all four agree: True",
        "112272535095293 True",
        "112582705942171 True",
        "112272535095293 True",
        "115280095190773 True",
        "115797848077099 True",
        "1099726899285419 False",
    ]


def test_pids(empty):
    printed = run_example("pids.py", folder=empty)
    calls = re.findall(r"^double\((\d)\) = +(\d+), by process (\d+)$", printed, re.M)
    assert [(int(x), int(y)) for x, y, _ in calls] == [(x, 2 * x) for x in range(10)]
    workers = {pid for _, _, pid in calls}
    (own,) = re.findall(r"^this program is process (\d+)$", printed, re.M)
    assert own not in workers
    assert 2 <= len(workers) <= 4, "ten calls of 0.1 s, four workers"
    assert seconds_shown(printed, "plain loop") >= 1
    assert seconds_shown(printed, "4 workers") > 0


def test_polite(empty):
    """How even the requests arrive depends on the machine, but not that all succeed."""
    printed = run_example("polite.py", "150", folder=empty)
    assert printed.splitlines()[0] == "all answered: True"
    assert int(re.search(r"^refused (\d+)$", printed, re.M)[1]) > 0
    most = re.search(r"^at most (\d+) requests in a second", printed, re.M)
    assert 0 < int(most[1]) < 80  # 150 made at once would all come in one second
    seconds = re.search(r"^150 calls +([0-9.]+) s", printed, re.M)
    assert float(seconds[1]) > 130 / 50


def test_model_per_worker(empty):
    printed = run_example("model_per_worker.py", "500", folder=empty).splitlines()
    assert printed[0] == "same scores: True"
    pattern = r"device (\d): loaded once, (\d+) calls"
    used = [re.fullmatch(pattern, line).groups() for line in printed[1:]]
    assert [number for number, _ in used] == ["0", "1"][: len(used)]
    assert sum(int(calls) for _, calls in used) == 500


@pytest.mark.long
@pytest.mark.timeout(310)
def test_wordcount_of_the_whole_standard_library(empty):
    script = EXAMPLES / "wordcount.py"
    ended = run_script(script, cwd=empty, timeout=300)
    lines = ended.stdout.splitlines()
    count, folder = re.fullmatch(r"(\d+) files under (.*)", lines[0]).groups()
    assert folder == sysconfig.get_path("stdlib")
    assert int(count) > 300
    assert "same order: True" in lines
    assert "same counts: True" in lines
    assert int(lines[-1].removesuffix("in all").replace(",", "")) > 500_000
    # The progress bars, with their descriptions, up to the last item.
    for description in ("in order", "as completed"):
        assert f"{description}: 100%" in ended.stderr
    assert f"{count}/{count}" in ended.stderr


def test_wordcount_of_a_folder(tmp_path, empty):
    sources = tmp_path / "sources"
    (sources / "inner").mkdir(parents=True)
    (sources / "one.py").write_text("x = 1\n")
    (sources / "inner" / "two.py").write_text("y = 'é' + 'ü'\n", encoding="utf-8")
    (sources / "broken.py").write_text("(\n")
    (sources / "other.txt").write_text("no Python\n")
    printed = run_example("wordcount.py", str(sources), folder=empty)
    assert printed.startswith(f"3 files under {sources}\n")
    # encoding, x, =, 1, newline, end; encoding, y, =, 'é', +, 'ü', newline, end
    assert re.search(r"^ +8  inner.two\.py\n +6  one\.py$", printed, re.M)
    assert re.search(r"^ +14  in all$", printed, re.M)
    assert "same counts: True" in printed


def test_imports(tmp_path, empty):
    top = tmp_path / "top"
    (top / "package").mkdir(parents=True)
    (top / "package" / "__init__.py").write_text("import os, sys\n")
    (top / "package" / "broken.py").write_text("(\n")
    (top / "one.py").write_text("import os.path\nfrom json import loads\n")
    (top / "two.py").write_text("import os\nimport os\nfrom . import one\n")
    printed = run_example("imports.py", str(top), folder=empty)
    assert printed.splitlines() == [
        f"4 modules in 2 folders of {top}",
        "    3  os",
        "    1  json",
        "    1  sys",
    ]


@pytest.mark.long
def test_imports_of_the_whole_standard_library(empty):
    whole = run_example("imports.py", folder=empty).splitlines()
    assert int(whole[0].split()[0]) > 200
    assert len(whole) == 6


def test_crawl_goes_on_after_a_kill(tmp_path, empty):
    folder = tmp_path / "crawled"
    folder.mkdir()
    links = folder / "links.db"
    command = [sys.executable, str(EXAMPLES / "crawl.py"), str(folder)]
    killed = subprocess.Popen(command, cwd=empty)
    wait_until(lambda: rows_of(links, "links") > 150 or killed.poll() is not None, 40)
    killed.kill()
    killed.wait(10)
    kept = rows_of(folder / "fetched.db", "results")
    assert kept > 50
    printed = run_example("crawl.py", str(folder), folder=empty)
    pages, fetched = re.search(r"between (\d+) pages, (\d+) of them", printed).groups()
    assert (int(pages), int(fetched)) == (300, 300 - kept)
    assert rows_of(links, "links") == len(
        {(p, p * n % 300) for p in range(300) for n in (2, 3, 5)}
    )


def rows_of(path, table):
    """Return the number of rows in a table that a program may be writing to."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as connection:
            return connection.execute(f"select count(*) from {table}").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_checksums_of_odd_files(tmp_path, empty):
    files = tmp_path / "files"
    (files / "a folder").mkdir(parents=True)
    contents = {
        "empty": b"",
        "a folder/with blanks": b"text\n",
        "large": os.urandom(3_000_000),
        "ünïcode": b"\0" * 70_000,
    }
    if sys.platform != "win32":
        contents["back\\slash and\nnewline"] = b"odd name"
    for name, content in contents.items():
        (files / name).write_bytes(content)
    printed = run_example("checksums.py", str(files), folder=empty)
    assert printed.startswith(f"{len(contents)} files under {files}\n")
    assert seconds_shown(printed, "plain loop") >= 0
    assert seconds_shown(printed, "@threaded") >= 0
    assert "same as the loop: True" in printed
    assert "same as sha256sum: False" not in printed
    for name, content in contents.items():
        assert f"{hashlib.sha256(content).hexdigest()}  {Path(name)}" in printed


def test_checksums_of_the_installed_packages(empty):
    printed = run_example("checksums.py", folder=empty)
    assert f"files under {sysconfig.get_path('purelib')}\n" in printed
    assert "same as the loop: True" in printed
    assert "same as sha256sum: False" not in printed


def test_asyncio_service(empty):
    printed = run_example("asyncio_service.py", folder=empty)
    sizes = range(100_000, 100_008)
    answers = [sum(n * n % 7 for n in range(10 * size)) for size in sizes]
    assert f"answers: {answers}\n" in printed
    assert "same as the loop: True" in printed
    assert seconds_shown(printed, "service") > 0
    ticks, pause = re.findall(
        r"^ticks: (\d+), longest .*: ([0-9.]+) ms$", printed, re.M
    )[0]
    # A call takes 200 ms in a thread: were the loop blocked by one, it would show.
    # (The example is about 50 ms; a loaded machine can be late by more than that.)
    assert int(ticks) > 5
    assert float(pause) < 190


@pytest.mark.skipif(sys.platform == "win32", reason="it ends by a signal")
def test_service(empty):
    """At SIGTERM the request that is served is answered, and then the service ends."""
    command = [sys.executable, str(EXAMPLES / "service.py")]
    with subprocess.Popen(command, cwd=empty, stdout=subprocess.PIPE, text=True) as it:
        try:
            address = f"http://127.0.0.1:{it.stdout.readline().split()[1]}"

            def ask(path):
                with urllib.request.urlopen(address + path, timeout=40) as response:
                    return json.load(response)

            assert ask("/primes/100") == {"below": 100, "primes": 25}
            assert (ask("/stats")["done"], ask("/stats")["workers"]) == (1, 1)
            with pytest.raises(urllib.error.HTTPError, match="404") as refused:
                ask("/primes/many")
            refused.value.close()
            with ThreadPoolExecutor(1) as pool:
                last = pool.submit(ask, "/primes/300000")
                wait_until(lambda: ask("/stats")["running"] == 1)
                it.send_signal(signal.SIGTERM)
                assert last.result()["primes"] == 25997
            assert it.stdout.read() == "done: 2, failed: 0, queued: 0\n"
        finally:
            it.kill()
    assert it.returncode == 0


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page(page, tmp_path):
    examples = examples_of(ROOT / "docs" / page)
    printed = printed_by(examples, tmp_path) if examples else []
    for example, output in zip(examples, printed, strict=True):
        where = f"docs/{page}, line {example.line}"
        assert (where, output) == (where, example.shown)


def test_backend(empty):
    printed = run_example("backend.py", folder=empty)
    page = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    assert printed == "7\n[1, 2, 3]\n"
    assert f"```text\n{printed}```" in page
    lines = (EXAMPLES / "backend.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60


def test_every_example_is_in_a_page_and_is_tested_here():
    pages = "".join(
        (ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES
    )
    tests = Path(__file__).read_text(encoding="utf-8")
    names = sorted(script.name for script in EXAMPLES.glob("*.py"))
    assert len(names) >= 5
    for name in names:
        assert f"{{literalinclude}} examples/{name}" in pages
        assert f'"{name}"' in tests


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda s: s.name)
def test_no_example_has_a_guard(script):
    assert "__name__" not in script.read_text(encoding="utf-8")
