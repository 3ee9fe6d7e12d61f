"""Interpreters in a program whose standard library gevent or eventlet has patched."""

import sys

import pytest
from harness import run

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

PROGRAM = """
import math
from parallelize import InterpreterPoolExecutor, interpreted
with InterpreterPoolExecutor(2) as pool:
    print(outcome(pool.submit(math.sqrt, 9)), list(pool.map(math.isqrt, range(5))))
print(outcome(interpreted(math.sqrt)(4)))
"""


@pytest.mark.parametrize("package", PATCHES)
@pytest.mark.skipif(sys.version_info < (3, 14), reason="there are no interpreters")
def test_interpreters_are_asked_by_greenlets_and_end(package):
    pytest.importorskip(package)
    done = run(f"{PATCHES[package]}\n{PROGRAM}")
    assert done.lines == ["3.0 [0, 1, 1, 1, 2]", "2.0"], done.err
    assert done.code == 0, done.err
