import numpy, os, time
from parallelize import TaskTimeout, WorkerDied, processed


@processed
def double(x):
    return 2 * x


@processed(timeout=2)
def sleep(seconds):
    time.sleep(seconds)


@processed
def ones(count):
    return numpy.ones(count)


@processed
def total(array):
    return int(array.sum())


@processed
def die():
    os._exit(1)


print(double(4).result(), sum(double.map(range(100))))
print(total(ones(1 << 18)).result(), ones(1 << 18).result().shape)
print(type(sleep(60).exception()).__name__, type(die().exception()).__name__)
held = sleep.options(timeout=None)(60)
print(held.kill(), type(held.exception()).__name__)
