"""What a patched program is to print, and how it is run."""

from harness import run

from support.programs import program

CALLS = """\
{kind} 9
{kind} [0, 1, 2]
{kind} 332833500
{kind} 16
{kind} 3000000
{kind} 3000000
{kind} LookupError: of the call
{kind} True
"""
STREAMS = """\
[300000, 300000, 300000, 300000, 300000] 12497500
7
4950
"""


def check(method, patch, when):
    """Run the program; it has printed all, and nothing to its standard error."""
    done = run(program("greenlets"), method, env={"PATCH": patch, "WHEN": when})
    others = "others ran True\n" * 2 if patch in ("gevent", "eventlet") else ""
    expected = CALLS.format(kind="processes") + "WorkerDied\n25\n" + others
    expected += CALLS.format(kind="threads")
    expected += STREAMS * 2 * (when != "started") + "end\n"
    assert done.out == expected, done.err
    assert done.code == 0, done.err
    # That eventlet could not replace every lock is its own affair.
    assert not [line for line in done.err.splitlines() if "RLock(s)" not in line]
