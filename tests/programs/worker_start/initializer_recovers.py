def start():
    note("try")
    if len(runs()) <= 2:
        raise OSError("not yet")


def task(i):
    note(i)
    return i


with executor(1, initializer=start) as ex:
    print([outcome(f) for f in [ex.submit(task, i) for i in range(30)]])
print(runs().count("try"), [runs().count(str(i)) for i in range(30)] == [1] * 30)
