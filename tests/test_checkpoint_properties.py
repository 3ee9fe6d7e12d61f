"""Pipelines with checkpoints against plain loops, over the runs that chance finds.

Apart from the other tests of checkpoints: interpreters, which import those, cannot load
hypothesis.
"""

import contextlib
import itertools
import os
import tempfile
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make
from support.checkpoints import rows_in

RUNS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 12), max_size=25),  # the input
        st.none() | st.tuples(st.integers(0, 2), st.integers(0, 12)),  # what fails
        st.none() | st.integers(0, 20),  # the number of results that are read
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(
    stages=st.lists(
        st.tuples(st.sampled_from(["thread", "single", "serial"]), st.booleans()),
        min_size=1,
        max_size=3,
    ),
    runs=RUNS,
    options=st.fixed_dictionaries(
        {},
        optional={"buffersize": st.integers(1, 5), "chunksize": st.integers(1, 5)},
    ),
)
def test_runs_of_pipelines_are_as_those_of_loops(stages, runs, options):
    """Whatever fails in a run, and whenever it ends: nothing is lost, or done again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pools = {
            "thread": stack.enter_context(make("thread", 2)),
            "single": stack.enter_context(make("thread", 1)),
            "serial": stack.enter_context(make("serial")),
        }
        files = [os.path.join(folder, f"{index}.db") for index in range(len(stages))]
        for numbers, failing, stop in runs:
            before = [stored_rows(*each) for each in enumerate(files)]
            calls = [[] for _ in stages]
            results = iter(numbers)
            for index, (pool, is_kept) in enumerate(stages):
                step = stepping(index, failing, calls[index])
                kept = {"checkpoint": files[index]} if is_kept else {}
                results = pools[pool].map(step, results, **options, **kept)
            values, raised = read_some(results, stop)
            given_rows = [value - len(stages) for value in values]
            results.close()
            count = len(given_rows)
            assert given_rows == numbers[:count]
            if raised:
                assert numbers[count] == failing[1]
            else:  # a row that is in the file is not called, so it does not fail
                assert count == len(numbers[:stop])
            for index, (_, is_kept) in enumerate(stages):
                if not is_kept:
                    continue
                after = stored_rows(index, files[index])
                assert Counter(given_rows) <= after
                assert before[index] <= after
                assert Counter(calls[index]) <= Counter(numbers) - before[index]


def stepping(index, failing, calls):
    """Return the function of a stage: it adds one to what began as ``number``."""

    def step(value):
        number = value - index
        if (index, number) == failing:
            raise LookupError(number)
        calls.append(number)
        return value + 1

    step.__qualname__ = f"step{index}"
    return step


def read_some(results, number):
    """Return the rows of results, as far as they are read, and whether it failed."""
    rows = []
    try:
        for value in itertools.islice(results, number):
            rows.append(value)
    except LookupError:
        return rows, True
    return rows, False


def stored_rows(index, file):
    """Return what rows a stage has kept."""
    values = rows_in(file) if os.path.exists(file) else []
    return Counter(value - index - 1 for value in values)
