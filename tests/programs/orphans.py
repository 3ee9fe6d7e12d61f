"""Signals to workers whose server was killed, which may have ended as well."""

import _signal

sent = []
send, kill = _signal.pidfd_send_signal, os.kill


def note(opened, number, *more):
    with open(f"/proc/self/fdinfo/{opened}") as file:
        pids = [line.split()[1] for line in file if line.startswith("Pid:")]
    sent.append((int(pids[0]), number))
    send(opened, number, *more)


def note_kill(pid, number):
    sent.append((pid, number))
    kill(pid, number)


def missed(*args):
    sent.append(args)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


with executor(2) as ex:
    pids = {ex.submit(os.getpid).result(10) for _ in range(20)}
    running = ex.submit(time.sleep, 60)
    until(running.running)
    pool = ex._pool
    workers = list(pool.scheduler.workers.values())
    server = pool.scheduler.workers.starter.launcher._pid
    os.kill(server, signal.SIGKILL)
    print(until(lambda: not any(worker.supervised for worker in workers)))
    _signal.pidfd_send_signal, os.kill = note, note_kill

    # One that is alive is killed, as a call of it may have to be.
    pid = outcome(ex.submit(os.getpid))
    # The pid of a new worker is known when its server says so, maybe after its answer.
    print(until(lambda: pid in pids | {w.pid for w in pool.scheduler.workers.values()}))
    busy = next(worker for worker in workers if worker.tasks)
    running.kill()
    print(outcome(running).partition(":")[0])
    print(
        until(lambda: not os.path.exists(f"/proc/{busy.pid}")),
        set(sent) == {(busy.pid, 9)},
    )
    sent.clear()

    # Nothing is sent to the number of one that has ended; it may be another's.
    with pool.scheduler.lock:  # nothing is heard of its end
        left = [worker for worker in workers if worker is not busy]
        victim = left[0] if left else next(iter(pool.scheduler.workers.values()))
        supervised = victim.supervised
        kill(victim.pid, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{victim.pid}"))
        if not supervised:
            _signal.pidfd_send_signal, os.kill = missed, missed
            victim.pid = os.getppid()  # another process has the number now
            victim.kill()
    print(sent)
    _signal.pidfd_send_signal, os.kill = send, kill
print("end")
