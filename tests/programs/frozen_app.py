"""An application that PyInstaller packs; it notes each of its runs."""

import os
import sys

import frozen_part  # the build puts it beside this file

import parallelize
from parallelize import ProcessPoolExecutor, processed, share, threaded, use


def square(x):
    return x * x


@processed
def where(_):
    return os.getpid()


@processed
def numbers(n):
    yield from range(n)


def main():
    with open(os.environ["RUNS"], "a") as runs:
        runs.write("run\n")
    print(processed(square)(3).result(30), processed(frozen_part.twice)(4).result(30))
    print(where(1).result(30) != os.getpid(), sum(numbers(10)))
    with ProcessPoolExecutor(2, mp_context=sys.argv[1]) as pool, use(pool):
        print(
            list(pool.map(frozen_part.twice, range(5))), pool.submit(square, 5).result()
        )
        handle = share([1, 2, 3])
        print(processed(lambda shared: sum(shared.get()))(handle).result())
    print(threaded(square)(3).result(), list(threaded(square).map(range(3))))
    for name in parallelize.__all__:  # what is loaded when it is asked for is there
        if "Ray" not in name and "Dask" not in name and "Interpreter" not in name:
            getattr(parallelize, name)
    print("end")


if __name__ == "__main__":
    main()
