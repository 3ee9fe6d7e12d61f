"""Interpreters in a program whose standard library gevent has patched."""

import sys

import pytest
from harness import run

PACKAGE = "gevent"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="there are no interpreters")
def test_interpreters_are_asked_by_greenlets(package):
    done = run(
        """
        from gevent import monkey; monkey.patch_all()
        import math
        from parallelize import InterpreterPoolExecutor, interpreted
        with InterpreterPoolExecutor(2) as pool:
            print(outcome(pool.submit(math.sqrt, 9)), list(pool.map(math.isqrt, range(5))))
        print(outcome(interpreted(math.sqrt)(4)))
        """
    )
    assert done.lines == ["3.0 [0, 1, 1, 1, 2]", "2.0"], done.err
