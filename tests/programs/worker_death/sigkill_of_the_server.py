def task(i):
    note(i)
    if i < 2:
        while not os.path.exists(os.environ["DIR"] + "/go"):
            time.sleep(0.005)
    return i


with executor(2) as ex:
    futures = [ex.submit(task, i) for i in range(40)]
    while len(runs()) < 2:
        time.sleep(0.005)
    os.kill(ex._pool.scheduler.workers.starter.launcher._pid, 9)
    open(os.environ["DIR"] + "/go", "w").close()
    print([outcome(f) for f in futures] == list(range(40)))
    print(outcome(ex.submit(os._exit, 1))[:11], outcome(ex.submit(abs, -1)))
print(sorted(map(int, runs())) == list(range(40)))
