"""Declared types of what executors say of themselves.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from typing import assert_type

from parallelize import SerialExecutor, Stats, stats

assert_type(stats(), Stats)
assert_type(stats("threads").queued, int)
assert_type(SerialExecutor().stats() + stats(), Stats)
stats(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
