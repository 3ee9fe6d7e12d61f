"""Short calls are sent together, and stay calls of their own (1, 3, 6, 33, 49, 64)."""

from __future__ import annotations

import pytest
from harness import run

BUNDLES = '''
from parallelize import processed
FOLDER = os.environ["FOLDER"]

def note(number, what="begun"):
    with open(f"{FOLDER}/log", "a") as log: log.write(f"{number} {what}\\n")

def begun():
    with open(f"{FOLDER}/log") as log: return [int(l.split()[0]) for l in log]

def work(number, wait=0):
    note(number)
    while wait and not os.path.exists(f"{FOLDER}/go"): time.sleep(0.001)
    if number == -1: os._exit(3)
    if number == -2: raise LookupError(number)
    return [number, float(number), str(number), None, number == 4, 10**30][number % 6]

def expected(number):
    return [number, float(number), str(number), None, number == 4, 10**30][number % 6]

def bundle(ex, numbers, waiting=()):
    """Submit calls while the only worker is busy; return when they are with it."""
    for _ in range(10): ex.submit(work, 0, 0).result()  # short: several are sent at once
    gate = ex.submit(lambda: [time.sleep(0.001) for _ in iter(lambda: os.path.exists(f"{FOLDER}/gate"), True)] and None)
    os.path.exists(f"{FOLDER}/log") and os.remove(f"{FOLDER}/log")
    fs = [ex.submit(work, n, int(n in waiting)) for n in numbers]
    open(f"{FOLDER}/gate", "w").close()
    gate.result()
    return fs

def await_begun(number):
    while True:
        try:
            if number in begun(): return
        except FileNotFoundError: pass
        time.sleep(0.001)

files = open_files()
'''


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
    done = bundled(
        """
        with executor(1) as ex:
            fs = bundle(ex, range(50), waiting=(3,))
            await_begun(3)
            (worker,) = ex._pool.workers.values()
            print({type(t).__name__ for t in worker.tasks.values()}, fs[3].running())
            open(f"{FOLDER}/go", "w").close()
            print([f.result() for f in fs] == [expected(n) for n in range(50)])
        """
    )
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
    done = bundled(
        """
        with executor(1) as ex:
            fs = bundle(ex, range(40), waiting=(7,))
            await_begun(7)
            print(fs[7].kill(), outcome(fs[7]).split(":")[0])
            del fs[7]
            print([f.result() for f in fs] == [expected(n) for n in range(40) if n != 7])
            print(sorted(begun()) == list(range(40)))
        print(nothing_left(files))
        """
    )
    assert done.lines == ["True TaskKilled", "True", "True", "nothing left"]


def test_one_that_waits_is_killed(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        with executor(1) as ex:
            fs = bundle(ex, range(40), waiting=(7,))
            await_begun(7)
            print(fs[20].kill(), outcome(fs[20]).split(":")[0] in ("TaskKilled", "CancelledError"))
            waiting = lambda: sum(task.size for task in list(ex._pool.queue))
            while waiting() < 32: time.sleep(0.001)  # it is given back
            open(f"{FOLDER}/go", "w").close()
            del fs[20]
            print([f.result() for f in fs] == [expected(n) for n in range(40) if n != 20])
            print(sorted(begun()) == [n for n in range(40) if n != 20])
        print(nothing_left(files))
        """
    )
    assert done.lines == ["True True", "True", "True", "nothing left"]


def test_close_cancels_those_that_wait(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        ex = executor(1)
        fs = bundle(ex, range(40), waiting=(7,))
        await_begun(7)
        waiting = lambda: sum(task.size for task in list(ex._pool.queue))
        while waiting() < 32: time.sleep(0.001)  # they are given back
        ex.shutdown(wait=False, cancel_futures=True)
        print([f.result() for f in fs[:7]] == [expected(n) for n in range(7)])
        print({f.cancelled() for f in fs[8:]})
        open(f"{FOLDER}/go", "w").close()
        print(outcome(fs[7]) == expected(7), nothing_left(files))
        """
    )
    assert done.lines == ["True", "{True}", "True nothing left"]


def test_another_worker_takes_those_that_wait(bundled) -> None:  # type: ignore[no-untyped-def]
    done = bundled(
        """
        with executor(2) as ex:
            hold = ex.submit(lambda: [time.sleep(0.001) for _ in iter(lambda: os.path.exists(f"{FOLDER}/gate"), True)] and None)
            fs = bundle(ex, range(40), waiting=(7,))
            print([f.result() for n, f in enumerate(fs) if n != 7] == [expected(n) for n in range(40) if n != 7])
            open(f"{FOLDER}/go", "w").close()
            print(fs[7].result() == expected(7), sorted(begun()) == list(range(40)))
        print(nothing_left(files))
        """
    )
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
    done = bundled(
        """
        import warnings; warnings.simplefilter("ignore")
        with executor(1) as ex:
            fs = bundle(ex, range(40), waiting=(7,))
            await_begun(7)
            pid = os.fork()
            if not pid:
                told = {outcome(f).split(":")[0] for f in fs[7:]}
                os._exit(0 if told == {"RuntimeError"} else 1)
            print(os.waitpid(pid, 0)[1])
            open(f"{FOLDER}/go", "w").close()
            print([f.result() for f in fs] == [expected(n) for n in range(40)])
        """
    )
    assert done.lines == ["0", "True"]
