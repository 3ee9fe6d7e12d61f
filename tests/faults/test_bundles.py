"""Short calls are sent together, and stay calls of their own."""

from __future__ import annotations

import pytest
from harness import run

from support.programs import program

BUNDLES = program("bundles/bundles")


@pytest.fixture
def bundled(method: str, tmp_path):  # type: ignore[no-untyped-def]
    """Runs a program with these helpers."""

    def runs(program: str):  # type: ignore[no-untyped-def]
        import textwrap

        text = BUNDLES + textwrap.dedent(program)
        return run(text, method, env={"FOLDER": str(tmp_path)})

    return runs


def test_each_has_its_own_result(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        with executor(1) as ex:
            fs = bundle(ex, range(300))
            got = [f.result() for f in fs]
        print(got == [expected(n) for n in range(300)])
        print([type(g) for g in got] == [type(expected(n)) for n in range(300)])
        print(sorted(begun()) == list(range(300)), nothing_left(files))
        """
    )
    assert done.lines == ["True", "True", "True nothing left"]


def test_they_are_sent_together(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(program("bundles/they_are_sent_together"))
    assert done.lines == ["{'CallBatch'} True", "True"]


def test_one_dies(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        with executor(1) as ex:
            numbers = [*range(20), -1, *range(20, 60)]
            told = [outcome(f) for f in bundle(ex, numbers)]
            print(told[20].split(",")[0], told[:20] + told[21:] == [expected(n) for n in range(60)])
            print(sorted(begun()) == sorted(numbers), outcome(ex.submit(abs, -1)))
        print(nothing_left(files))
        """
    )
    assert done.lines[0].endswith("died while it ran __main__.work: exit code 3 True")
    assert done.lines[1:] == ["True 1", "nothing left"]


def test_some_raise(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        with executor(1) as ex:
            told = [outcome(f) for f in bundle(ex, [1, -2, 3, -2, 5])]
        print(told == [expected(1), "LookupError: -2", expected(3), "LookupError: -2", expected(5)])
        """
    )
    assert done.lines == ["True"]


def test_one_that_runs_is_killed(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(program("bundles/one_that_runs_is_killed"))
    assert done.lines == ["True TaskKilled", "True", "True", "nothing left"]


def test_one_that_waits_is_killed(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(program("bundles/one_that_waits_is_killed"))
    assert done.lines == ["True True", "True", "True", "nothing left"]


def test_close_cancels_those_that_wait(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(program("bundles/close_cancels_those_that_wait"))
    assert done.lines == ["True", "{True}", "True nothing left"]


def test_another_worker_takes_those_that_wait(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(program("bundles/another_worker_takes_those_that_wait"))
    assert done.lines == ["True", "True True", "nothing left"]


def test_callbacks_are_called_for_each(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        with executor(1) as ex:
            fs = bundle(ex, range(40), waiting=(0,))
            seen = []
            for f in fs: f.add_done_callback(lambda f: seen.append(f.result()))
            open(f"{FOLDER}/go", "w").close()
        print(seen == [expected(n) for n in range(40)])
        """
    )
    assert done.lines == ["True"]


def test_a_forked_child_has_none_of_them(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(program("bundles/a_forked_child_has_none_of_them"))
    assert done.lines == ["0", "True"]
