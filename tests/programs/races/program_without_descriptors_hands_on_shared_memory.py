from parallelize import share


def total(h):
    return float(h.get().sum())


ex = executor(1)
ex.submit(total, share(np.ones(1))).result()
s = share(np.ones(10))
taken = exhausted()
f = ex.submit(total, s)
time.sleep(0.3)
free(taken)
outcome(f, 3)
print(outcome(ex.submit(total, s), 3))
ex.shutdown()
