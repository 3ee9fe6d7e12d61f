"""A plugin of pytest: leaves out the tests that are about what the system lacks."""

import os
import re

SYSTEM = os.environ["SYSTEM"]

#: Tests of start methods; without fork there is one of them.
FORKS = re.compile(r"[\[-](?:process-fork|forkserver|fork)[\]-]|fork(?:s|ed)?_")

LEFT_OUT = {
    "darwin": {
        "test_the_memory_goes_with_the_handle": "it counts mappings of memfd",
        "test_a_task_that_writes_past_its_array_harms_no_other": "done on Linux alone",
    },
    "win32": {
        "test_the_memory_goes_with_the_handle": "it counts mappings of memfd",
        "test_a_shared_pool_whose_first_call_never_comes_leaves_no_process": "no server",
        "test_the_server_that_boots_early_is_that_of_the_first_call": "no server",
        "test_one_of_another_method_is_closed": "no server",
        "test_a_dump_by_a_signal_without_a_thread": "no SIGUSR2",
    },
}


def pytest_report_header():
    return f"as on {SYSTEM}"


def pytest_collection_modifyitems(config, items):
    out = [each for each in items if is_left_out(each)]
    items[:] = [each for each in items if each not in out]
    config.hook.pytest_deselected(items=out)


def is_left_out(item):
    if item.originalname in LEFT_OUT[SYSTEM]:
        return True
    return SYSTEM == "win32" and FORKS.search(item.name) is not None
