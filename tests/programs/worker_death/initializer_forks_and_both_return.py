def forks():
    if os.fork() > 0:
        os.wait()


def task(i):
    note(i)
    return i


with executor(1, initializer=forks) as ex:
    print([outcome(ex.submit(task, i), 5) for i in range(20)])
print(sorted(map(int, runs())) == list(range(20)))
