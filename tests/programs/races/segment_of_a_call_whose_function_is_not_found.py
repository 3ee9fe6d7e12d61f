import types

m = types.ModuleType("only_here")
exec("def f(a): return 1", m.__dict__)
sys.modules["only_here"] = m
ex = executor(1)
a = np.zeros(4 << 20, "u1")
for _ in range(8):
    outcome(ex.submit(m.f, a))


def few():
    """Whether there are few, after a call that takes one that is free."""
    ex.submit(len, a).result()
    return len(ex._pool.scheduler.ledger.segments._all) <= 2


print(until(few))
ex.shutdown()
