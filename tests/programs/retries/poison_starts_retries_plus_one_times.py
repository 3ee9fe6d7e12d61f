def task(i):
    note(i)
    if i == 100:
        os._exit(1)
    return i


with executor(2) as ex:
    call = processed(retries=RETRIES, executor=ex)(task)
    got = [name(f) for f in [call(i) for i in range(200)]]
print(got.pop(100), got == [i for i in range(200) if i != 100])
print(runs() == sorted([*range(200), *[100] * RETRIES]))
