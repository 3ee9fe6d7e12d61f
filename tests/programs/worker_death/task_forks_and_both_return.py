def forks(i):
    if os.fork() > 0:
        os.wait()
    return i


def forks_and_fails(i):
    if os.fork() > 0:
        os.wait()
    raise ValueError(i)


with executor(2) as ex:
    print([outcome(ex.submit(forks, i)) for i in range(5)])
    print(outcome(ex.submit(forks_and_fails, 7)))
    print(list(ex.map(forks, range(30), chunksize=10)))
    print(
        list(
            map(
                str,
                ex.map(forks_and_fails, [1, 2], chunksize=2, return_exceptions=True),
            )
        )
    )
    print([outcome(ex.submit(pow, i, 2)) for i in range(5)])
