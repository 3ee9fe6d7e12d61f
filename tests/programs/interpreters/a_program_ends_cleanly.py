import sys, time
from parallelize import interpreted


@interpreted
def work(x):
    return x


print(sum(work.map(range(100))), work(3).result())
END
