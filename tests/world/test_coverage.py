"""coverage measures workers as it measures the children of multiprocessing."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

PACKAGE = "coverage"

pytestmark = pytest.mark.usefixtures("package")

HERE = pathlib.Path(__file__).parent
FUNCTIONS = HERE / "measured_functions.py"
PROGRAM = HERE / "measured_program.py"

CONFIGURATIONS = {
    "multiprocessing": "concurrency = multiprocessing, thread\n",
    "sigterm": "concurrency = multiprocessing, thread\nsigterm = true\n",
    "branches": "concurrency = multiprocessing, thread\nbranch = true\n",
    "patched": "patch = subprocess, fork, _exit\n",
}


def coverage(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=folder,
        env={**os.environ, "COVERAGE_FILE": str(folder / "data")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def marks(file):
    """The lines that end in a mark, by it."""
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = enumerate(lines, 1)
    return {text.rpartition("  # ")[2]: n for n, text in pairs if "  # " in text}


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_lines_that_ran_in_workers_alone_are_covered(configuration, method, tmp_path):
    (tmp_path / ".coveragerc").write_text(
        f"[run]\nparallel = true\nsource = {HERE}\n{CONFIGURATIONS[configuration]}"
    )
    done = coverage(tmp_path, "run", str(PROGRAM), method)
    assert done.stderr == ""
    coverage(tmp_path, "combine")
    coverage(tmp_path, "json", "-o", "report.json")
    files = json.loads((tmp_path / "report.json").read_text())["files"]
    seen = {
        pathlib.Path(name).name: set(each["executed_lines"])
        for name, each in files.items()
    }
    missed = {m for m, n in marks(FUNCTIONS).items() if n not in seen[FUNCTIONS.name]}
    assert missed == {"never"}
    assert marks(PROGRAM)["of_the_script"] in seen[PROGRAM.name]
