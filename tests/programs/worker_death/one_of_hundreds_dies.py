def task(i):
    note(i)
    if i == 300:
        kill_me()
    return i


with executor(2) as ex:
    futures = [ex.submit(task, i) for i in range(600)]
    got = [outcome(f) for f in futures]
died = got.pop(300)
print(died.startswith("WorkerDied"), "SIGKILL" in died)
print(got == [i for i in range(600) if i != 300])
print(sorted(map(int, runs())) == list(range(600)))
