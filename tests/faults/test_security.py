"""Nothing from outside gets in, and a worker harms itself alone."""

from __future__ import annotations

import pathlib
import re
import textwrap

import pytest
from harness import run

#: What the tests look at in /proc.
LOOKING = '''
def links(pid):
    """What each descriptor of a process is."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try: found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError: pass
    return found

def ours(pid):
    """The sockets and memory files of a process."""
    return {fd: link for fd, link in links(pid).items()
            if fd > 2 and link.startswith(("socket:", "/memfd:", "pipe:"))}

def close_on_exec(pid, fd):
    for line in open(f"/proc/{pid}/fdinfo/{fd}"):
        if line.startswith("flags:"):
            return bool(int(line.split()[1], 8) & 0o2000000)

def two_workers(ex):
    """The pids of two workers, which both live."""
    folder = os.environ["FOLDER"]
    def meet(_):
        open(f"{folder}/{os.getpid()}", "w").close()
        while len(os.listdir(folder)) < 2: time.sleep(0.001)
        return os.getpid()
    return list(ex.map(meet, range(2), chunksize=1))

'''

#: What a task may use to misbehave on its own socket.
COMPROMISED = '''
import socket, struct

def socks():
    """The worker's own sockets: the task socket and the control socket."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(socket.socket(fileno=os.dup(fd)))
        except OSError: pass
    return found

def send(data):
    for sock in socks():
        try: sock.sendall(data)
        except OSError: pass

def frame(kind, id, *parts, count=None, lengths=None, extra=0):
    lengths = lengths or [len(part) for part in parts]
    head = struct.pack("<HHIIQ", kind, len(parts) if count is None else count, extra, 0, id)
    return head + struct.pack(f"<{len(lengths)}Q", *lengths) + b"".join(parts)

class Bomb:
    """Pickled, it tells in the program that it was unpickled there."""
    def __reduce__(self): return os.write, (1, b"BOOM\\n")

def bomb():
    import pickle
    return pickle.dumps(Bomb())
'''


def looking(program: str) -> str:
    return LOOKING + textwrap.dedent(program)


def test_nothing_listens(method: str) -> None:
    """No listening socket, before the first call or after it."""
    done = run(
        """
        def listening():
            found = set()
            for name in ("tcp", "tcp6"):
                for line in list(open(f"/proc/net/{name}"))[1:]:
                    if line.split()[3] == "0A": found.add(line.split()[9])
            for line in list(open("/proc/net/unix"))[1:]:
                if int(line.split()[3], 16) & 0x10000: found.add(line.split()[6])
            return found
        def of(pid):
            links = (f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))
            return {os.readlink(l)[8:-1] for l in links if os.path.islink(l) and "socket" in os.readlink(l)}
        before = of(os.getpid()) & listening()
        with executor(2) as ex:
            pid, server = ex.submit(os.getpid).result(), ex.submit(os.getppid).result()
            sockets = of(os.getpid()) | of(pid) | of(server)
            named = [l.split()[7:] for l in list(open("/proc/net/unix"))[1:] if l.split()[6] in sockets]
            print(before, sockets & listening(), len(sockets) > 3, [n for n in named if n])
        """,
        method,
    )
    assert done.lines == ["set() set() True []"]
    assert (done.code, done.err) == (0, "")


def test_descriptors_are_close_on_exec(method: str, tmp_path: pathlib.Path) -> None:
    """In the program, the server and two workers."""
    done = run(
        looking(
            """
            already = set(links("self"))
            ex = executor(2)
            pids = two_workers(ex)
            server = ex.submit(os.getppid).result()
            loose = [(pid, link) for pid in (os.getpid(), server, *pids)
                     for fd, link in ours(pid).items()
                     if not close_on_exec(pid, fd) and not (pid == os.getpid() and fd in already)]
            print(loose, len(ours(pids[0])) >= 2)
            ex.shutdown()
            """
        ),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == ["[] True"], done
    assert (done.code, done.err) == (0, "")


def test_worker_holds_no_other_workers_ends(
    method: str, tmp_path: pathlib.Path
) -> None:
    """Two workers share no socket and no memory, with each other or the server."""
    done = run(
        looking(
            """
            ex = executor(2)
            one, two = two_workers(ex)
            server = ex.submit(os.getppid).result()
            def inodes(pid):
                return {os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd, link in ours(pid).items()
                        if not link.startswith("pipe:")}
            all_of = [inodes(pid) for pid in (one, two, server)]
            shared = [a & b for i, a in enumerate(all_of) for b in all_of[i + 1:]]
            print(shared, all(all_of))
            ex.shutdown()
            """
        ),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == [f"{[set()] * 3} True"], done
    assert (done.code, done.err) == (0, "")


def test_subprocess_of_a_task_inherits_nothing(method: str) -> None:
    """Not even with close_fds=False; nor does one that the program starts."""
    done = run(
        """
        import subprocess
        def inherited():
            code = "import os; print([os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and os.path.exists(f'/proc/self/fd/{fd}')])"
            return subprocess.run([sys.executable, "-S", "-c", code], close_fds=False, stdout=subprocess.PIPE, text=True).stdout
        before = inherited()
        with executor(2) as ex:
            for f in [ex.submit(abs, -1) for _ in range(4)]: f.result()
            print([ex.submit(inherited).result(), inherited(), before])
        """,
        method,
    )
    assert done.lines == [str(["[]\n"] * 3)]
    assert (done.code, done.err) == (0, "")


def test_inheritable_descriptor_of_the_program_is_not_kept() -> None:
    """A service's listening socket is not held open by workers (default method)."""
    done = run(
        """
        import socket
        service = socket.create_server(("127.0.0.1", 0))
        service.set_inheritable(True)
        inode = os.fstat(service.fileno()).st_ino
        def holds():
            return any(f"[{inode}]" in os.readlink(f"/proc/{pid}/fd/{fd}")
                       for pid in (os.getpid(), os.getppid()) for fd in os.listdir(f"/proc/{pid}/fd")
                       if os.path.islink(f"/proc/{pid}/fd/{fd}"))
        with executor(1) as ex: print(ex.submit(holds).result())
        """
    )
    assert done.lines == ["False"]
    assert (done.code, done.err) == (0, "")


def test_nothing_has_a_name(method: str, tmp_path: pathlib.Path) -> None:
    """No temporary file, nothing in /dev/shm, whatever the umask, while it works."""
    done = run(
        """
        os.umask(0)
        shm = names()
        big = bytes(20 << 20)
        with executor(2) as ex:
            fs = [ex.submit(bytes.upper, big) for _ in range(4)]
            seen = set()
            while not all(f.done() for f in fs):
                seen |= names() - shm | set(os.listdir(os.environ["TMPDIR"]))
                time.sleep(0.001)
            print(seen, {len(f.result()) for f in fs})
        """,
        method,
        env={"TMPDIR": str(tmp_path)},
    )
    assert done.lines == ["set() {20971520}"]
    assert list(tmp_path.iterdir()) == []


def test_command_lines_hold_no_secret(method: str, tmp_path: pathlib.Path) -> None:
    """Neither arguments of calls nor authentication keys are in /proc/*/cmdline."""
    done = run(
        looking(
            """
            import multiprocessing
            key = multiprocessing.current_process().authkey
            secret = "".join(map(chr, range(97, 123)))
            ex = executor(2, initializer=len, initargs=(secret,))
            ex.submit(len, secret).result()
            pids = [*two_workers(ex), ex.submit(os.getppid).result()]
            # A fork has the command line of the program, which holds this text.
            lines = b"".join(open(f"/proc/{pid}/cmdline", "rb").read() for pid in pids)
            print(secret.encode() in lines, key in lines, key.hex().encode() in lines)
            ex.shutdown()
            """
        ),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == ["False False False"]
    assert (done.code, done.err) == (0, "")


def test_workers_start_in_isolated_mode(tmp_path: pathlib.Path) -> None:
    """A file in the current folder or next to the script stands in for no module."""
    for name in ("socket", "struct", "pickle", "site"):
        (tmp_path / f"{name}.py").write_text("import os; os.write(1, b'BOOM')")
    done = run(
        f"""
        from parallelize import ProcessPoolExecutor
        import pickle, socket, struct
        os.chdir({str(tmp_path)!r})
        sys.path[:] = [p for p in sys.path if p not in ("", ".")]
        with executor(1) as ex: print(ex.submit(abs, -1).result())
        """,
        "spawn",
    )
    assert done.lines == ["1"]
    assert (done.code, done.err) == (0, "")


GARBAGE = {
    "noise": "send(b'\\xff' * 4096)",
    "text": "send(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' * 50)",
    "zeros": "send(bytes(4096))",
    "unknown task": "send(frame(13, 1 << 60, bomb()))",
    "unknown task, failed": "send(frame(14, 1 << 60, bomb()))",
    "unknown rows": "send(frame(15, 1 << 60, bomb()))",
    "unknown kind": "send(frame(999, 1, bomb()))",
    "too many parts": "send(frame(13, 1, count=65535, lengths=[0] * 65535))",
    "longer than any memory": "send(frame(13, 1, lengths=[1 << 63], count=1))",
    "longer than this memory": "send(frame(13, 1, lengths=[1 << 45], count=1))",
    "lengths that overflow": "send(frame(13, 1, lengths=[1 << 63, 1 << 63], count=2))",
    "no part": "send(frame(13, 1)); send(frame(14, 1)); send(frame(12, 0)); send(frame(18, 0))",
    "failure that is none": "send(frame(14, 1, b'no pickle'))",
    "start failed, no pickle": "send(frame(12, 0, b'no pickle'))",
    "given back, no pickle": "send(frame(18, 0, b'no pickle'))",
    "given back, nonsense": "import pickle; send(frame(18, 0, pickle.dumps((['x', 7], (1 << 70, 3)))))",
    "given back, wrong shape": "import pickle; send(frame(18, 0, pickle.dumps(5)))",
    "rows for a call": "import pickle; send(frame(15, 1, pickle.dumps([1]))); send(frame(16, 1, b'x'))",
    "closed": "[sock.shutdown(2) for sock in socks()]",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_compromised_worker_harms_itself_alone(what: str) -> None:
    """Ids, counts and lengths are checked: garbage costs that worker, not the pool."""
    done = run(
        COMPROMISED
        + textwrap.dedent(
            f"""
            def compromised():
                {GARBAGE[what]}
                return "returned"
            ex = executor(2)
            victim = ex.submit(compromised)  # task 1
            others = [ex.submit(pow, i, 2) for i in range(8)]
            print([outcome(f) for f in others])
            try: value = victim.result(10)
            except Exception as error: value = type(error).__name__
            print(value)
            def call(i):
                # What it wrote to the one socket may be found when what came by the
                # other has had the worker given its next call.
                came = outcome(ex.submit(abs, -i))
                late = value == "returned" and "no message of a worker" in str(came)
                return outcome(ex.submit(abs, -i)) if late and i == 0 else came
            print([call(i) for i in range(4)])
            ex.shutdown()
            """
        )
    )
    assert done.lines[0] == str([i * i for i in range(8)]), done
    assert len(done.lines) == 3, done
    assert done.lines[1] not in ("TimeoutError", "CancelledError"), done
    assert done.lines[2] == "[0, 1, 2, 3]", done
    assert "BOOM" not in done.out
    assert done.code == 0
    # A worker without sockets ends; if its result was there, only the log tells.
    assert done.err == "" or re.fullmatch("worker .* ran no call.*\n", done.err)


@pytest.mark.parametrize(
    "what",
    [
        "send(b'\\xff' * 4096)",
        "send(frame(15, 1 << 60, bomb()))",
        "send(frame(15, 1, b'no pickle'))",
        "send(frame(15, 1, b'no pickle', extra=7))",
        "send(frame(17, 1, b'no pickle', extra=0))",
        "send(frame(16, 1, extra=0))",
        "send(frame(16, 1, b'x', extra=99999))",
    ],
)
def test_compromised_worker_in_a_map(what: str) -> None:
    """The same while a map's rows are under way: the map ends, the pool goes on."""
    done = run(
        COMPROMISED
        + textwrap.dedent(
            f"""
            def compromised(i):
                if i == 3: {what}
                return i
            ex = executor(1)
            rows = ex.map(compromised, range(20), return_exceptions=True, timeout=10)
            print(len([type(row).__name__ for row in rows]))
            print([outcome(ex.submit(abs, -i)) for i in range(4)])
            ex.shutdown()
            """
        )
    )
    assert done.lines == ["20", "[0, 1, 2, 3]"], done
    assert "BOOM" not in done.out
    assert (done.code, done.err) == (0, "")


def test_page_full_of_nonsense(method: str) -> None:
    """What a worker writes into the shared page is read with suspicion."""
    done = run(
        """
        def scribble():
            import gc, mmap
            for thing in gc.get_objects():
                if type(thing).__name__ == "Page" and hasattr(thing, "_map"):
                    thing._map[:] = b"\\xfe" * len(thing._map)
            os._exit(1)
        ex = executor(2)
        victim = ex.submit(scribble)
        others = [ex.submit(pow, i, 2) for i in range(8)]
        print([outcome(f) for f in others])
        try: victim.result(10)
        except Exception as error: print(type(error).__name__)
        print([outcome(ex.submit(abs, -i)) for i in range(4)])
        ex.shutdown()
        """,
        method,
    )
    assert done.lines[0] == str([i * i for i in range(8)]), done
    assert done.lines[-1] == "[0, 1, 2, 3]", done
    assert done.lines[1] == "WorkerDied"
    assert (done.code, done.err) == (0, "")


def test_output_of_crashes_goes_to_stderr_alone(
    method: str, tmp_path: pathlib.Path
) -> None:
    """A segfault's stacks are on stderr, once; no core dump or report is left."""
    done = run(
        f"""
        os.chdir({str(tmp_path)!r})
        import faulthandler, resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with executor(1) as ex:
            print(outcome(ex.submit(faulthandler._sigsegv)))
            print(ex.submit(abs, -1).result())
        """,
        method,
    )
    assert "SIGSEGV" in done.lines[0]
    assert done.lines[1] == "1"
    assert done.err.count("Fatal Python error: Segmentation fault") == 1
    assert list(tmp_path.iterdir()) == []
