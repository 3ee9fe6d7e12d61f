"""What a script defines in `__main__` means the same in a worker, each time."""

import subprocess
import sys
import textwrap

import pytest

from support.programs import program


@pytest.fixture(params=["forkserver", "spawn", "fork"])
def script(request, tmp_path):
    """Runs a piece of a script; gives the lines that it prints."""

    def run(what):
        body = textwrap.indent(textwrap.dedent(what), "    ").strip()
        text = program("main_module/calls", METHOD=repr(request.param), WHAT=body)
        path = tmp_path / "script.py"
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, str(path)], capture_output=True, text=True, timeout=50
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


def test_what_an_initializer_sets_a_call_finds(script):
    """The pattern of every tutorial: a model is loaded once for each worker."""
    assert script("print(call(use, 1), call(use, 2), *ex.map(use, [3]))") == [
        " ".join(
            str(("loaded weights", "set in the worker alone", i)) for i in (1, 2, 3)
        )
    ]


def test_what_a_call_changes_the_next_one_finds(script):
    assert script(
        """
        print(call(put, "a"), call(put, "b"), call(put, "b"))
        print([call(Counter().add) for _ in range(3)])
        """
    ) == ["1 2 2", "[1, 2, 3]"]


def test_what_the_program_changes_a_later_call_finds(script):
    assert script(
        program("main_module/what_the_program_changes_a_later_call_finds")
    ) == ["1", "2 2 2", "1", "another"]


def test_classes_are_themselves_on_both_sides(script):
    assert script(
        """
        print(call(inside), call(lambda: Odd.other.other is Odd))
        point = call(lambda: Point(3, Point(4)))
        print(point, type(point) is Point, call(lambda: Point) is Point)
        try: call(refuse)
        except Refused as error: print(error.code)
        """
    ) == [
        "(True, True) True",
        "Point(x=3, next=Point(x=4, next=None)) True True",
        "7",
    ]


def test_annotations_of_methods(script):
    """They may mention what stands in the class, and so lead to all that it has."""
    assert script(
        """
        print(call(Annotated().plain, 1), Annotated().decorated(2).result())
        print(call(lambda: Annotated.plain.__annotations__["x"] is Annotated.Inner))
        print(call(lambda: Annotated.decorated.__annotations__["return"]))
        """
    ) == ["1 2", "True", "<class 'int'>"]


def test_functions_that_refer_to_each_other(script):
    assert script(
        """
        print(call(is_even, 9), call(is_odd, 9), call(adder(3), 1), call(factorial(), 5))
        print(call(fib.__wrapped__, 7), fib(7).result(20))
        """
    ) == ["False True 5 120", "13 13"]


def test_a_submodule_that_the_program_has_loaded(script):
    assert script(
        """
        import concurrent.futures.thread, xml, xml.dom.minidom
        print(call(lambda: xml.dom.minidom.__name__))
        """
    ) == ["xml.dom.minidom"]


def test_a_global_that_cannot_be_pickled_fails_the_call_alone(script):
    assert script(
        """
        import threading
        lock = threading.Lock()
        def locked(): return lock
        print(type(ex.submit(locked).exception(20)).__name__, call(is_even, 2))
        """
    ) == ["SerializationError True"]


def test_the_program_keeps_what_it_has(script):
    """What comes back sets nothing in the program's own `__main__`."""
    assert script(
        """
        before = set(globals()) | {"before", "made"}
        made = call(lambda: [Point(1), Counter, use, lambda: late])
        print(set(globals()) - before, made[1] is Counter, made[2] is use, model)
        """
    ) == ["set() True True None"]


COMMON = program("main_module/common")


def test_decorated_functions_that_have_something_in_common(tmp_path):
    """A worker builds them together, so all that any of them needs has to be there."""
    (tmp_path / "script.py").write_text(COMMON)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("3 ('fourth', 1) True\n", "")
