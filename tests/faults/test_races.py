"""Who waits is interrupted, descriptors run out, others fork meanwhile.

Whatever comes between, no call may be lost, and nobody may get other data than
what was sent.
"""

from __future__ import annotations

import pytest
from harness import run

from parallelize.process.wire import journal as pages
from support.free_threading import freed_at_once
from support.programs import program

#: What every program here can do.
TOOLS = program("races/tools")


def lines(program: str, method: str = "forkserver", timeout: float = 30) -> list[str]:
    """What a program prints, which must end well and in time."""
    ran = run(TOOLS + program, method, timeout=timeout)
    assert ran.code == 0, ran.err
    return ran.lines


# -- Who waits is interrupted ---------------------------------------------------------


@pytest.mark.parametrize("wait", ["ex.shutdown()", "print(outcome(g, 3))"])
def test_handler_waits_while_its_thread_does(wait: str) -> None:
    """A signal handler may wait for what the interrupted thread waits for."""
    text = program("races/handler_waits_while_its_thread_does", WAIT=wait)
    got = lines(text, timeout=15)
    assert got[-1] == "None 7"
    assert got[:-1] in ([], ["7"])


def test_ctrl_c_while_waiting_loses_no_call() -> None:
    """Ctrl-C comes at any moment of a call and of the wait for it, and is caught."""
    text = program("races/ctrl_c_while_waiting_loses_no_call")
    assert lines(text, timeout=25) == ["{3}"]


def test_fork_in_a_handler_while_waiting() -> None:
    """The child is told that the call is its parent's."""
    text = program("races/fork_in_a_handler_while_waiting")
    child, parent = lines(text)
    assert "os.fork" in child
    assert parent == "None"


def test_long_wait() -> None:
    """More milliseconds than fit into what poll takes."""
    text = """
ex = executor(1)
ex.submit(int).result()
print(outcome(ex.submit(time.sleep, 0.1), 30 * 86400))
ex.shutdown()
"""
    assert lines(text) == ["None"]


# -- Several things at once -------------------------------------------------------------


def test_rows_stay_in_order_beside_calls() -> None:
    """Frames of rows are taken in the order in which they came."""
    text = program("races/rows_stay_in_order_beside_calls")
    assert lines(text) == ["0"]


def test_callback_after_a_worker_died_whose_socket_is_held() -> None:
    """No callback runs under the pool's lock, however a worker's end was noticed."""
    text = program("races/callback_after_a_worker_died_whose_socket_is_held")
    assert sorted(lines(text)) == ["True", "WorkerDied"]


# -- No descriptor is left ---------------------------------------------------------------


def test_waiting_takes_no_descriptor() -> None:
    """Whoever waits for a result need not have a descriptor for that."""
    text = """
ex = executor(1)
done(ex.submit(int))
taken = exhausted()
print(outcome(ex.submit(int, "5")))
free(taken)
ex.shutdown()
"""
    assert lines(text) == ["5"]


def test_worker_without_descriptors_gets_a_large_argument() -> None:
    """The call ends: well or with an error, but it ends; and so does the next."""
    text = program("races/worker_without_descriptors_gets_a_large_argument")
    assert lines(text) == ["False", "10"]


def test_program_without_descriptors_gets_a_large_result() -> None:
    """Its worker is not killed for that, and the pool lives on."""
    text = program("races/program_without_descriptors_gets_a_large_result")
    assert lines(text) == ["True", "20"]


def test_program_without_descriptors_hands_on_shared_memory() -> None:
    """What could not be handed on at one call is handed on at the next."""
    text = program("races/program_without_descriptors_hands_on_shared_memory")
    assert lines(text) == ["10.0"]


# -- Memory that both have mapped ----------------------------------------------------------


@freed_at_once
def test_segment_of_a_call_whose_function_is_not_found() -> None:
    """It carries another message when the call has failed."""
    text = program("races/segment_of_a_call_whose_function_is_not_found")
    assert lines(text) == ["True"]


def test_argument_of_a_process_that_outlives_its_worker() -> None:
    """The child of a call that was killed keeps what it was given."""
    text = program("races/argument_of_a_process_that_outlives_its_worker")
    assert lines(text) == ["[1]"]


def test_fork_while_results_come() -> None:
    """Every view is kept from the child, though others appear meanwhile."""
    text = program("races/fork_while_results_come")
    assert lines(text) == ["0"]


def test_handle_that_comes_back_after_it_was_dropped() -> None:
    """A call returns a handle that the program has not kept: it is worth its value."""
    text = program("races/handle_that_comes_back_after_it_was_dropped")
    assert lines(text) == ["[[0, 1, 2]]"]


# -- Rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["return Bad()", "raise Worse()"])
def test_row_whose_end_cannot_be_pickled_alive(
    how: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The row whose result kills the worker is blamed, and has not run twice."""
    runs = tmp_path_factory.mktemp("runs") / "runs"
    text = program(
        "races/row_whose_end_cannot_be_pickled_alive", RUNS=repr(str(runs)), HOW=how
    )
    assert lines(text) == ["[57]", "[]"]


def test_journal_is_copied_while_a_result_of_another_type_is_noted() -> None:
    """The kind of a value is there before the value is."""
    page = pages.Journal(file := pages.make_page_file())
    page.choose_mark()
    values = page.open_group(int, 0, 8)
    assert values is not None
    for i in range(3):
        values[i] = i
    # The watcher has read COUNT and LIMIT; now the main thread goes on, half-way.
    seen: list[object] = []

    class Halfway:
        def __setitem__(self, slot: int, value: float) -> None:
            floats[slot] = value
            seen.extend(page._results(page.ended()))

    floats, page._floats = page._floats, Halfway()  # type: ignore[assignment]
    page.note(3, 2.5)
    page._floats = floats
    page.close()
    pages.close_page_file(file)
    assert seen in ([0, 1, 2], [0, 1, 2, 2.5])


# -- Functions of `__main__` that were pickled before --------------------------------------


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("def f(*, k='old'): return k", "f.__kwdefaults__['k'] = 'new'"),
        ("def f(): return getattr(f, 'mark', 'old')", "f.mark = 'new'"),
        (
            "table = {1: 'old'}; get = table.get\ndef f(): return get(1)",
            "table[1] = 'new'",
        ),
    ],
)
def test_change_that_a_name_does_not_show(what: str, change: str) -> None:
    """What is called is what runs."""
    text = f"""
{what}
ex = executor(1)
print([ex.submit(f).result() for _ in range(3)])
{change}
print(ex.submit(f).result())
ex.shutdown()
"""
    assert lines(text) == ["['old', 'old', 'old']", "new"]


def test_threads_pickle_a_function_that_changes() -> None:
    """One that finds the cache out of date need not be the only one."""
    text = program("races/threads_pickle_a_function_that_changes")
    assert lines(text) == ["0"]
