def compromised(i):
    if i == 3:
        WHAT
    return i


ex = executor(1)
rows = ex.map(compromised, range(20), return_exceptions=True, timeout=10)
print(len([type(row).__name__ for row in rows]))
print([outcome(ex.submit(abs, -i)) for i in range(4)])
ex.shutdown()
