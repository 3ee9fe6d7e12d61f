def task(i):
    note(i)
    time.sleep(0.04)
    return i


with warm(1) as ex:
    quick = processed(timeout=0.4, executor=ex)(task)
    print([name(f) for f in [quick(i) for i in range(16)]] == list(range(16)))
    print(list(quick.map(range(16), chunksize=16)) == list(range(16)))
print(runs() == sorted([*range(16), *range(16)]))
