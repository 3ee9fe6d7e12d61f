"""A program that has closed standard streams, as daemons do, has workers all the same."""

import subprocess
import sys

import pytest

PROGRAM = """
import os
from parallelize import ProcessPoolExecutor
out = os.dup2(1, 50)
for fd in {closed}:
    os.close(fd)
with ProcessPoolExecutor(2, mp_context={method!r}) as ex:
    small = [each.result(30) for each in [ex.submit(abs, -n) for n in range(4)]]
    os.write(out, repr((small, ex.submit(len, b"x" * 3_000_000).result(30))).encode())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such numbers")
@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1)])
def test_calls_run_where_streams_are_closed(method, closed):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(method=method, closed=closed)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("([0, 1, 2, 3], 3000000)", "")
