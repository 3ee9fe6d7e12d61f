"""What becomes of streams when workers die, readers leave and programs end."""

from __future__ import annotations

import signal

import pytest
from harness import run, started

COMMON = """
from parallelize import parallelized, processed, threaded, shutdown
import gc

def numbers(end):
    yield from range(end)

def pid_first():
    yield os.getpid()
    number = 0
    while True:
        yield number
        number += 1

def read(stream):
    got = []
    try:
        for item in stream:
            got.append(item)
    except BaseException as error:
        return got, type(error).__name__
    return got, None

"""


def streaming(program: str) -> str:
    import textwrap

    return COMMON + textwrap.dedent(program)


# Death.


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_death_comes_after_the_items_that_came(method: str, end: str) -> None:
    done = run(
        streaming(
            f"""
            def dying(count):
                yield from range(count)
                {end}

            with executor(1) as pool:
                for count in (0, 1, 3):
                    got, error = read(parallelized(pool)(dying)(count))
                    print(got == list(range(len(got))), len(got) <= count, error)
                print(*parallelized(pool)(numbers)(3))
            """
        ),
        method,
    )
    assert done.lines == ["True True WorkerDied"] * 3 + ["0 1 2"], done.err
    assert done.code == 0


def test_death_while_it_is_held_back(method: str) -> None:
    """The worker stands and waits for its reader when it is killed."""
    done = run(
        streaming(
            """
            with executor(1) as pool:
                stream = parallelized(pool)(pid_first).options(buffersize=4)()
                pid = next(stream)
                pool.submit(int).result()  # as it is held back
                os.kill(pid, signal.SIGKILL)
                got, error = read(stream)
                print(got == list(range(len(got))), 3 <= len(got) <= 4, error)
                print(pool.submit(int, "7").result(), pool._pool.places)
            """
        ),
        method,
    )
    assert done.lines == ["True True WorkerDied", "7 1"], done.err


def test_other_calls_do_not_notice(method: str) -> None:
    done = run(
        streaming(
            """
            def dying():
                yield 1
                os.kill(os.getpid(), 9)

            with executor(2) as pool:
                calls = [pool.submit(abs, -n) for n in range(200)]
                streams = [parallelized(pool)(dying)() for _ in range(4)]
                others = [parallelized(pool)(numbers)(50) for _ in range(4)]
                print({read(stream)[1] for stream in streams})
                print({len(read(stream)[0]) for stream in others})
                print(sum(call.result() for call in calls))
            """
        ),
        method,
    )
    assert done.lines == ["{'WorkerDied'}", "{50}", "19900"], done.err


def test_a_timeout_kills_the_worker_alone(method: str) -> None:
    done = run(
        streaming(
            """
            def stuck():
                yield 1
                time.sleep(60)

            with executor(2) as pool:
                stream = parallelized(pool)(stuck).options(timeout=0.3)()
                other = parallelized(pool)(numbers)(1000)
                print(read(stream), len(list(other)))
            """
        ),
        method,
    )
    assert done.lines == ["([1], 'TaskTimeout') 1000"], done.err


def test_a_stream_of_nonsense_costs_its_worker(method: str) -> None:
    """A task that writes to its worker's socket harms itself alone."""
    done = run(
        streaming(
            """
            def babbling():
                yield 1
                for fd in range(3, 30):
                    try: os.write(fd, b"nonsense" * 100)
                    except OSError: pass
                yield 2
                time.sleep(60)

            with executor(1) as pool:
                got, error = read(parallelized(pool)(babbling)())
                print(set(got) <= {1, 2} or got, error, list(parallelized(pool)(numbers)(3)))
            """
        ),
        method,
    )
    assert done.lines == ["True WorkerDied [0, 1, 2]"], done.err


# Leaks.


def test_nothing_is_left_of_many_streams(method: str) -> None:
    done = run(
        streaming(
            """
            executor(1).submit(int).result()
            gc.collect()
            nothing_left(100)
            files = open_files()
            with executor(2) as pool:
                fn = parallelized(pool)(numbers)
                for turn in range(30):
                    list(fn(100))           # read to its end,
                    fn(10**9).close()       # closed at once,
                    next(fn(10**9))         # dropped half-way,
                    with fn(10**9) as stream:
                        next(stream)
                    read(parallelized(pool)(lambda: (yield 1 / 0))())
                print(pool.submit(int, "7").result())
                del stream
                gc.collect()
            print(nothing_left(files))
            """
        ),
        method,
    )
    assert done.lines == ["7", "nothing left"], done.err


def test_the_reader_holds_a_bounded_part() -> None:
    """An endless stream with a slow reader takes no more memory."""
    done = run(
        streaming(
            """
            def megabytes():
                while True:
                    yield bytes(1 << 20)

            def rss():
                with open("/proc/self/statm") as file:
                    return int(file.read().split()[1]) * 4

            with executor(1) as pool:
                stream = parallelized(pool)(megabytes).options(buffersize=4)()
                for _ in range(20): next(stream)
                before = rss()
                for _ in range(300): next(stream)
                print(rss() - before < 50_000)
                stream.close()
            """
        ),
        "forkserver",
    )
    assert done.lines == ["True"], done.err


def test_large_items_that_are_kept(method: str) -> None:
    """More items with buffers are held than there are segments."""
    done = run(
        streaming(
            """
            def blobs(count):
                for number in range(count):
                    yield bytearray([number]) * (1 << 20)

            with executor(2) as pool:
                kept = list(parallelized(pool)(blobs)(100))
                print(all(set(blob) == {n} for n, blob in enumerate(kept)))
            """
        ),
        method,
    )
    assert done.lines == ["True"], done.err


# The end of the program.


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
@pytest.mark.parametrize("state", ["unread", "half read", "held in a ring"])
def test_the_program_ends_with_an_open_stream(decorator: str, state: str) -> None:
    """It is closed, and its `finally` runs: nobody waits for what never ends."""
    done = run(
        streaming(
            f"""
            @{decorator}
            def endless(fd):
                try:
                    while True:
                        yield 1
                finally:
                    os.write(fd, b"closed\\n")

            stream = endless(1)
            if "{state}" != "unread":
                next(stream)
            if "{state}" == "held in a ring":
                ring = [stream]
                ring.append(ring)
                del stream
            print("end", flush=True)
            """
        ),
        timeout=15,
    )
    assert done.code == 0, done.err
    # One that nobody has read from may not have begun: then it never does.
    assert done.lines in (["end", "closed"], ["end"] if state == "unread" else [])
    assert done.seconds < 10
    assert done.err == ""


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
def test_ctrl_c_while_a_reader_waits(decorator: str) -> None:
    program = streaming(
        f"""
        @{decorator}
        def stuck():
            yield 1
            time.sleep(60)

        for item in stuck():
            print(item, flush=True)
        """
    )
    with started(program) as child:
        assert child.process.stdout.readline() == "1\n"
        child.process.send_signal(signal.SIGINT)
        _, err = child.process.communicate(timeout=10)
        assert child.process.returncode == -signal.SIGINT
        assert err.count("KeyboardInterrupt") == 1
        child.check_gone(err)


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
def test_ctrl_c_that_is_caught(decorator: str) -> None:
    """The reader goes on with the stream where it was."""
    program = streaming(
        f"""
        @{decorator}
        def slow(fd):
            yield 1
            with open(fd): pass
            yield from (2, 3)

        import tempfile
        path = os.path.join(tempfile.mkdtemp(), "go")
        os.mkfifo(path)
        stream = slow(path)
        try:
            print(next(stream), flush=True)
            next(stream)
        except KeyboardInterrupt:
            print("caught", flush=True)
        with open(path, "w"): pass
        print(*stream, flush=True)
        shutdown()
        """
    )
    with started(program) as child:
        assert child.process.stdout.readline() == "1\n"
        child.process.send_signal(signal.SIGINT)
        out, err = child.process.communicate(timeout=10)
        assert out.splitlines() == ["caught", "2 3"], err
        assert child.process.returncode == 0
        child.check_gone(err)


def test_the_program_is_killed_with_an_open_stream() -> None:
    program = streaming(
        """
        stream = processed(pid_first)()
        print(next(stream), flush=True)
        time.sleep(60)
        """
    )
    with started(program) as child:
        child.process.stdout.readline()
        child.process.kill()
        child.process.communicate()
        child.check_gone(grace=5)


# Forks.


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
def test_a_stream_in_a_forked_child(decorator: str) -> None:
    """The child gets an error at once, and its own streams; the parent reads on."""
    done = run(
        streaming(
            f"""
            import warnings
            warnings.simplefilter("ignore")  # 3.12 and later warn of threads and forks
            fn = {decorator}(numbers)
            stream = fn.options(buffersize=3)(10)
            print(next(stream), flush=True)
            pid = os.fork()
            if pid == 0:
                try:
                    next(stream)
                except RuntimeError as error:
                    print(error, flush=True)
                stream.close()
                print(*fn(3), flush=True)
                shutdown()
                os._exit(0)
            os.waitpid(pid, 0)
            print(*stream)
            shutdown()
            """
        )
    )
    assert done.lines == [
        "0",
        "the stream was opened before os.fork(), it belongs to the parent",
        "0 1 2",
        "1 2 3 4 5 6 7 8 9",
    ], done.err


def test_a_generator_that_forks(method: str) -> None:
    """The copy of the worker never reaches the pool."""
    done = run(
        streaming(
            """
            def forking():
                import warnings
                warnings.simplefilter("ignore")
                yield 1
                pid = os.fork()
                if pid:
                    os.waitpid(pid, 0)
                yield 2
                yield 3

            with executor(1) as pool:
                print(*parallelized(pool)(forking)())
            """
        ),
        method,
    )
    assert done.lines == ["1 2 3"], done.err
