def task():
    note(os.getpid())
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


with executor(2) as ex:
    future = ex.submit(task)
    until(1)
    pid = runs()[0]
    while open(f"/proc/{pid}/stat").read().split()[2] != "T":
        time.sleep(0.002)
    print([outcome(ex.submit(pow, i, 2)) for i in range(4)], future.running())
    os.kill(pid, signal.SIGCONT)
    print(outcome(future), len(runs()))
