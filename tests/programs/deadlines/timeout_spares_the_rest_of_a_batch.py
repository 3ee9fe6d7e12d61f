HANG = {100, 101, 350}


def task(i):
    note(i)
    if i in HANG:
        time.sleep(60)
    return i


with warm(2) as ex:
    call = processed(timeout=0.3, executor=ex)(task)
    got = [name(f) for f in [call(i) for i in range(500)]]
print({i for i, each in enumerate(got) if each == "TaskTimeout"} == HANG)
print(all(got[i] == i for i in range(500) if i not in HANG))
print(runs() == list(range(500)))
