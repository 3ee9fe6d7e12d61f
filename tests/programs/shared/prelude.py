"""What every program can use. METHOD, the start method, is set before."""

import os, signal, sys, threading, time
from concurrent.futures import wait, as_completed


def executor(*args, **kwargs):
    from parallelize import ProcessPoolExecutor

    return ProcessPoolExecutor(*args, mp_context=METHOD, **kwargs)


def outcome(future, timeout=10):
    """The value, or the error's class name and text, of a future."""
    try:
        return future.result(timeout)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def name(future):
    """A value, or the class name of an error."""
    error = future.exception(20)
    return type(error).__name__ if error else future.result()


def open_files():
    # libffi keeps its own file open from the first use of ctypes on.
    return sum("/libffi.so" not in target_of(name) for name in os.listdir("/dev/fd"))


def target_of(fd):
    try:
        return os.readlink(f"/dev/fd/{fd}")
    except OSError:
        return ""  # the descriptor of listdir itself


def children():
    # Those of a thread that has ended belong to any of the others.
    found = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                found += file.read().split()
        except OSError:
            pass  # it has just ended
    return found


def inodes():
    """What has a name in /dev/shm, by its inode."""
    return {entry.inode(): entry.name for entry in os.scandir("/dev/shm")}


def inodes_of_others():
    """Those that processes of other sessions have in their memory."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getsid(int(pid)) == os.getsid(0):
                continue
            with open(f"/proc/{pid}/maps", errors="replace") as file:
                found |= {int(line.split()[4]) for line in file if "/dev/shm/" in line}
        except OSError:
            pass  # it has just ended
    return found


def names():
    """The names in /dev/shm that other programs do not have, nor have just had."""
    before = inodes()
    if not before:
        return set()
    others, after = inodes_of_others(), inodes()
    return {
        name for inode, name in before.items() if inode in after and inode not in others
    }


def nothing_left(files, seconds=5.0):
    """Wait until threads, children and descriptors are back to `files`; say so."""
    deadline = time.monotonic() + seconds
    while True:
        left = (threading.active_count() - 1, len(children()), open_files() - files)
        if left <= (0, 0, 0) or time.monotonic() > deadline:
            return (
                "nothing left"
                if left[0] == 0 and left[1] == 0 and left[2] <= 0
                else f"left: {left}"
            )
        time.sleep(0.01)
