N = WORKERS


def task(i):
    note(i)
    if i < N:  # these run when the blow falls
        with open(f"{os.environ['DIR']}/pids", "ab", buffering=0) as file:
            file.write(b"%d\n" % os.getpid())
        time.sleep(60)
    return i


open(os.environ["DIR"] + "/pids", "w").close()
with executor(N) as ex:
    futures = [ex.submit(task, i) for i in range(N + 40)]
    while len(pids := open(os.environ["DIR"] + "/pids").read().split()) < N:
        time.sleep(0.005)
    for pid in pids:
        os.kill(int(pid), 9)
    got = [outcome(f) for f in futures]
print(len(set(pids)) == N, all(e.startswith("WorkerDied") for e in got[:N]))
print(got[N:] == list(range(N, N + 40)))
print(sorted(map(int, runs())) == list(range(N + 40)))
