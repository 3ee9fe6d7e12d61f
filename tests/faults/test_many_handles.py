"""Handles of shared objects where descriptors are few: each takes one, or says so."""

import pytest
from harness import run

FEW = """
import array, resource
from parallelize import share
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
"""


def test_each_handle_takes_one_descriptor_and_the_error_names_the_limit():
    done = run(
        FEW
        + """
before = open_files()
handles = []
try:
    while True: handles.append(share([len(handles)]))
except OSError as error:
    first, text = error.errno, str(error)
import errno
print(first == errno.EMFILE, "200 files" in text, "share()" in text)
del handles[-20:]
print(len(handles) > 200 - before - 20 - 10, open_files() - before == len(handles))
values = [handle.get() for handle in handles]
print(values == [[i] for i in range(len(handles))], open_files() - before == len(handles))
del handles, values
import gc; gc.collect()
print(open_files() - before)
print(share("x").get())
"""
    )
    assert done.lines == ["True True True", "True True", "True True", "0", "x"], (
        done.err
    )


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_a_worker_has_one_descriptor_for_each(method):
    done = run(
        """
import array
from parallelize import share
def files(): return len(os.listdir("/dev/fd"))
def read(handle): return sum(handle.get())
handles = [share(array.array("q", [i] * 1000)) for i in range(100)]
with executor(1) as ex:
    # What it loads for the first one may open something for good.
    print(ex.submit(read, share(array.array("q", [1]))).result())
    before = ex.submit(files).result()
    print(list(ex.map(read, handles)) == [1000 * i for i in range(100)])
    print(ex.submit(files).result() - before <= 100)
""",
        method,
    )
    assert done.lines == ["1", "True", "True"], done.err


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_a_worker_without_descriptors_raises_and_goes_on(method):
    done = run(
        """
import array, resource
from parallelize import share
def fill():
    keep.clear()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True: keep.append(os.open("/dev/null", os.O_RDONLY))
    except OSError: return len(keep) > 10
keep = []
def free():
    for fd in keep: os.close(fd)
    keep.clear()
def read(handle): return sum(handle.get())
with executor(1) as ex:
    print(ex.submit(fill).result())
    print(outcome(ex.submit(read, share(array.array("q", [1, 2]))))[:60])
    print(outcome(ex.submit(read, share(array.array("q", [1, 2]))))[:7])
    ex.submit(free).result()
    print(outcome(ex.submit(read, share(array.array("q", [1, 2])))))
""",
        method,
    )
    text = "OSError: [Errno 24] a shared object has not arrived in this worker"[:60]
    assert done.lines == ["True", text, "OSError", "3"], done.err
