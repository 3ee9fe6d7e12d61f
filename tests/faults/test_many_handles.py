"""Handles of shared objects where descriptors are few: each takes one, or says so."""

import pytest
from harness import run

from support.programs import program

FEW = """
import array, resource
from parallelize import share
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
"""


def test_each_handle_takes_one_descriptor_and_the_error_names_the_limit():
    done = run(
        FEW
        + program(
            "many_handles/each_handle_takes_one_descriptor_and_the_error_names_the_limit"
        )
    )
    assert done.lines == ["True True True", "True True", "True True", "0", "x"], (
        done.err
    )


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_a_worker_has_one_descriptor_for_each(method):
    done = run(program("many_handles/a_worker_has_one_descriptor_for_each"), method)
    assert done.lines == ["1", "True", "True"], done.err


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_a_worker_without_descriptors_raises_and_goes_on(method):
    done = run(
        program("many_handles/a_worker_without_descriptors_raises_and_goes_on"), method
    )
    text = "OSError: [Errno 24] a shared object has not arrived in this worker"[:60]
    assert done.lines == ["True", text, "OSError", "3"], done.err
