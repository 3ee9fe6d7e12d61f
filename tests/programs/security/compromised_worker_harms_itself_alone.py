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


def call(i):
    # What it wrote to the one socket may be found when what came by the
    # other has had the worker given its next call.
    came = outcome(ex.submit(abs, -i))
    late = value == "returned" and "no message of a worker" in str(came)
    return outcome(ex.submit(abs, -i)) if late and i == 0 else came


print([call(i) for i in range(4)])
ex.shutdown()
