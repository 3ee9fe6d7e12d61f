print("main runs")
from parallelize import processed


@processed
def f(x):
    return x + 1


print(list(f.map([1, 2])))
