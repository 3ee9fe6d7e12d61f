def compromised():
    GARBAGE
    return "returned"


ex = executor(2)
victim = ex.submit(compromised)  # task 1
others = [ex.submit(pow, i, 2) for i in range(8)]
print([outcome(f) for f in others])
try:
    value = victim.result(10)
except Exception as error:
    value = type(error).__name__
print(value)


late = []


def call(i):
    # What it wrote to the one socket may be found when what came by the
    # other has had the worker given its next call, once.
    came = outcome(ex.submit(abs, -i))
    if value == "returned" and "no message of a worker" in str(came) and not late:
        late.append(came)
        return outcome(ex.submit(abs, -i))
    return came


print([call(i) for i in range(4)])
ex.shutdown()
