DEADLY = {0, 1, 57, 58, 59, 200, 399}


def task(i):
    note(i)
    if i in DEADLY:
        os._exit(i % 3)
    return -i


with executor(3) as ex:
    futures = [ex.submit(task, i) for i in range(400)]
    got = [outcome(f) for f in futures]
print([i for i, each in enumerate(got) if each != -i] == sorted(DEADLY))
print(all(got[i].startswith("WorkerDied") for i in DEADLY))
print(sorted(map(int, runs())) == list(range(400)))
