def take():
    taken.extend(exhausted())


def give():
    free(taken)


taken = []


def size(a):
    return int(a.sum())


ex = executor(1)
ex.submit(size, np.ones(3, "u1")).result()  # loads numpy
ex.submit(take).result()
f = ex.submit(size, np.ones(2 << 20, "u1"))
print("TimeoutError" in str(outcome(f, 5)))
f.kill()
print(outcome(ex.submit(size, np.ones(10, "u1"))))
ex.shutdown()
