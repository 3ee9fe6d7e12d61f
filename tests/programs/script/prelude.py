from __future__ import annotations
import parallelize
from parallelize import ProcessPoolExecutor, processed

ex = ProcessPoolExecutor(1, mp_context=METHOD)
differ = 0


def outcome(fn, *args):
    try:
        return repr(fn(*args))
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def check(fn, *args, want=None):
    """Compare what a call comes to in a process with what it comes to here."""
    global differ
    there = outcome(lambda: ex.submit(fn, *args).result(30))
    want = want or outcome(fn, *args)
    if there != want:
        differ += 1
        print(getattr(fn, "__name__", fn), "want:", want, "got:", there)


def refused(fn, text, *args):
    """Look that a call fails and its error has a text."""
    global differ
    error = ex.submit(fn, *args).exception(30)
    if type(error).__name__ != "SerializationError" or text not in str(error):
        differ += 1
        print("not refused:", error)
