import sys, time
from parallelize import NAME


@DECORATOR
def f(x):
    time.sleep(0.05)
    sys.stdout.write(f"{x}\n")
    sys.stdout.flush()


for x in range(4):
    f(x)
