"""What is sent to a process whose server is gone reaches that one or none."""

import os

import pytest
from harness import run

from support.programs import program


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open")
def test_a_signal_reaches_no_process_that_has_the_number_of_a_worker(method):
    done = run(program("orphans"), method)
    assert done.code == 0, done.err
    print(done.out)
    assert done.lines == ["True", "True", "TaskKilled", "True True", "[]", "end"]
