files = open_files()


def attempt(count):
    ex = executor(3)
    allow(count)
    try:
        told = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
    finally:
        allow(hard)
    words = "temporarily unavailable", "start new thread"
    ok = all(t == i or any(w in str(t) for w in words) for i, t in enumerate(told))
    later = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
    ex.shutdown()
    nothing_left(files)  # what is about to end counts, too
    if not ok or later != [0, 1, 2, 3]:
        print(count, told, later)
    return told == [0, 1, 2, 3]


served = [attempt(count) for count in range(1, 9)]
print(served[0], served[-1], nothing_left(files))
