"""Named resources of multiprocessing in workers that come and go.

WHEN says when the program makes them: before its pool has workers, or after.
"""


def attach(name):
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(name=name)
    memory.buf[0] += 1
    memory.close()
    return os.getpid()


def add(items):
    items[0] += 1
    return items[0]


def make():
    from multiprocessing import shared_memory

    global kept  # other tests take a name that no process has for one that was left
    kept = shared_memory.SharedMemory(create=True, size=10)
    kept.buf[0] = 7
    return kept.name


def number():
    import multiprocessing

    process = multiprocessing.current_process()
    parent = multiprocessing.parent_process()
    return process._identity, process.name, parent.pid, parent.is_alive(), os.getpid()


def plain(x):
    return x


def in_new_workers(function, *args):
    """Run it in workers that have left when this returns."""
    with executor(2) as pool:
        return outcome(pool.submit(function, *args))


def processes_of(text):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with (
                open(f"/proc/{pid}/cmdline") as line,
                open(f"/proc/{pid}/environ") as env,
            ):
                if (
                    text in line.read()
                    and os.environ["PARALLELIZE_TEST_MARK"] in env.read()
                ):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def main():
    with executor(2) as pool:
        if os.environ["WHEN"] == "after":
            print([f.result() for f in [pool.submit(plain, i) for i in range(3)]])
        else:
            print([0, 1, 2])
        print("trackers", len(processes_of("resource_tracker " + "import main")))
        assert "multiprocessing.resource_tracker" not in sys.modules
        from multiprocessing import Manager, shared_memory

        memory = shared_memory.SharedMemory(create=True, size=100)
        memory.buf[0] = 0
        first = pool.submit(attach, memory.name).result(10)
        assert first != os.getpid()
        items = shared_memory.ShareableList([1, 2])
        print(outcome(pool.submit(add, items)))
        with Manager() as manager:
            shared = manager.list([4, 5])
            print(outcome(pool.submit(add, shared)))
        again = shared_memory.SharedMemory(name=outcome(pool.submit(make)))
    for _ in range(3):
        in_new_workers(attach, memory.name)
    print(in_new_workers(add, items))
    time.sleep(0.2)  # a tracker of a worker's own would remove it about now
    print(memory.buf[0], sorted(os.listdir("/dev/shm")).count(memory.name))
    print(again.buf[0], sorted(os.listdir("/dev/shm")).count(again.name))
    for each in (again, memory, items.shm):
        each.unlink()
        each.close()
    print("trackers", len(processes_of("resource_tracker " + "import main")))


main()
print("end")
