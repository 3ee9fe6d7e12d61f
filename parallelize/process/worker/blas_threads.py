"""Limits the threads of numeric libraries to a worker's share of the CPUs.

Each of these libraries starts as many threads as the machine has CPUs. With as many
workers, their number is the square of that, and all of them get slower.
"""

from __future__ import annotations

import contextlib
import os
import sys

#: The environment variables that the libraries read when they are loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

#: If the user has set this one, it applies to all: most libraries fall back on it.
_GENERAL = "OMP_NUM_THREADS"


def cap_threads(number: int) -> None:
    """Limit numeric libraries to this number of threads each, in this process.

    Variables that the user has set are kept. Libraries that are already loaded are
    limited through threadpoolctl, if that is imported, too.
    """
    if _GENERAL in os.environ:
        return
    for variable in _VARIABLES:
        os.environ.setdefault(variable, str(number))
    threadpoolctl = sys.modules.get("threadpoolctl")
    if threadpoolctl is not None:
        with contextlib.suppress(Exception):  # a library that it does not support
            threadpoolctl.threadpool_limits(limits=number)
