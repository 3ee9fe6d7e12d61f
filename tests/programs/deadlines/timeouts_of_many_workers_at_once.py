def task(i):
    note(i)
    if i < 4:
        time.sleep(60)
    return i


with warm(4) as ex:
    call = processed(timeout=0.4, executor=ex)(task)
    got = [name(f) for f in [call(i) for i in range(60)]]
print(got[:4], got[4:] == list(range(4, 60)), runs() == list(range(60)))
