"""A program that has closed standard streams, as daemons do, has workers all the same."""

import subprocess
import sys

import pytest

from support.programs import program


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such numbers")
@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1)])
def test_calls_run_where_streams_are_closed(method, closed):
    text = program("closed_streams/closed", METHOD=repr(method), CLOSED=closed)
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("([0, 1, 2, 3], 3000000)", "")


#: Each has a name, what a program does first, and what it patches for the calls.
SURROUNDINGS = {
    "no argv": ("del sys.argv", "mock.MagicMock()"),
    "a mock of getLogger": ("", "mock.patch('logging.getLogger')"),
    "a mock of open": (
        "",
        "mock.patch('builtins.open', mock.mock_open(read_data='x'))",
    ),
    "warnings of encodings": ("", "mock.MagicMock()"),
}
POOLS = {
    "forkserver": "ProcessPoolExecutor(2, mp_context='forkserver')",
    "spawn": "ProcessPoolExecutor(2, mp_context='spawn')",
    "fork": "ProcessPoolExecutor(2, mp_context='fork')",
    "interpreter": "InterpreterPoolExecutor(2)",
}
if sys.version_info < (3, 14):
    del POOLS["interpreter"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is one method")
@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_calls_run_in_bare_or_mocked_programs(name, kind, tmp_path):
    first, patch = SURROUNDINGS[name]
    text = program("closed_streams/bare", FIRST=first, PATCH=patch, POOL=POOLS[kind])
    (tmp_path / "script.py").write_text(text)
    options = ["-X", "warn_default_encoding"] if "warnings" in name else []
    done = subprocess.run(
        [sys.executable, *options, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("[4, 0, 1, 4]\n", "")
