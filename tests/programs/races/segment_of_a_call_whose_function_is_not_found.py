import types

m = types.ModuleType("only_here")
exec("def f(a): return 1", m.__dict__)
sys.modules["only_here"] = m
ex = executor(1)
a = np.zeros(4 << 20, "u1")
for _ in range(8):
    outcome(ex.submit(m.f, a))
time.sleep(0.3)
ex.submit(len, a).result()
print(len(ex._pool.scheduler.ledger.segments._all) <= 2)
ex.shutdown()
