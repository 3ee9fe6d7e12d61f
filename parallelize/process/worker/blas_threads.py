"""Keeps the threads of numeric libraries within what a worker's share of CPUs is.

Each of these libraries starts as many threads as the machine has CPUs. In as many
workers that makes the square of it, and all of them slower.
"""

from __future__ import annotations

import contextlib
import os
import sys

#: What the libraries read when they are loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

#: Who sets this one means all of them: most libraries fall back on it.
_GENERAL = "OMP_NUM_THREADS"


def cap_threads(number: int) -> None:
    """Let numeric libraries start so many threads in this process.

    What the user has set stands. Libraries that are loaded are told through
    threadpoolctl, if the program has loaded that, too.
    """
    if _GENERAL in os.environ:
        return
    for variable in _VARIABLES:
        os.environ.setdefault(variable, str(number))
    threadpoolctl = sys.modules.get("threadpoolctl")
    if threadpoolctl is not None:
        with contextlib.suppress(Exception):  # a library that it does not understand
            threadpoolctl.threadpool_limits(limits=number)
