TIMEOUT = 0.4  # others than those that end at it are to be early by far


def task(i):
    begun = time.monotonic()
    note(i)
    if i % 2:  # long, but not too long
        time.sleep(TIMEOUT / 3)
        return i
    # Ends within 1.5 ms of the deadline, on either side.
    end = begun + TIMEOUT - 0.0015 + (i % 24) / 8000
    time.sleep(max(0, end - time.monotonic() - 0.001))
    while time.monotonic() < end:
        pass
    return i


with warm(4) as ex:
    call = processed(timeout=TIMEOUT, executor=ex)(task)
    if FORM == "calls":
        got = [name(f) for f in [call(i) for i in range(72)]]
    else:
        rows = call.map(range(72), chunksize=9, return_exceptions=True)
        got = [r if type(r) is int else type(r).__name__ for r in rows]
print([(i, got[i]) for i in range(1, 72, 2) if got[i] != i])
print({got[i] for i in range(0, 72, 2) if got[i] != i} <= {"TaskTimeout"})
print(runs() == list(range(72)))
