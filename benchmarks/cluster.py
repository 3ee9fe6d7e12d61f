"""What a call costs on Dask, on two local workers; the numbers of docs/scaling.md.

Run it where `parallelize[dask]` and numpy are installed: python benchmarks/cluster.py
"""

import os
import platform
import sys
import time
from statistics import median

import distributed
import numpy as np

from parallelize import DaskExecutor, ProcessPoolExecutor, gather, share

ARRAY = 100 << 17  # numbers of 8 bytes: 100 MiB


def nothing(x):
    return x


def spin(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def total(array):
    return float(array.sum())


def total_of(handle):
    return float(handle.get().sum())


def ones(count):
    return np.ones(count)


def seconds(action, *args):
    begun = time.perf_counter()
    action(*args)
    return time.perf_counter() - begun


def of_calls(executor, theirs):
    """Cost of calls, in µs each."""
    single = [seconds(executor.submit(nothing, 1).result) for _ in range(50)]
    count = 2000
    begun = time.perf_counter()
    futures = [executor.submit(nothing, n) for n in range(count)]
    handed = time.perf_counter() - begun
    gather(*futures).result()
    ended = time.perf_counter() - begun
    yield "submit → result, one at a time, ms", median(single) * 1e3
    yield "submit, in the caller, µs", handed / count * 1e6
    yield "submit → result, 2000 at once, µs each", ended / count * 1e6
    if theirs is None:
        return
    begun = time.perf_counter()
    futures = [theirs.submit(nothing, n, pure=False) for n in range(count)]
    theirs.gather(futures)
    spent = time.perf_counter() - begun
    yield "… the same in plain Dask, µs each", spent / count * 1e6


def rows_in(executor, each, count, size):
    fn, item = (spin, each) if each else (nothing, 1)
    return seconds(list, executor.map(fn, [item] * count, chunksize=size))


def of_maps(executor):
    """Cost of maps, by how long a row runs."""
    yield (
        "map of 200000 rows of nothing, rows/s",
        2e5 / rows_in(executor, 0, 200_000, None),
    )
    for each, count in ((0.0001, 20_000), (0.001, 4000), (0.01, 1000), (0.1, 100)):
        name = f"map of {count} rows of {each * 1e3:g} ms: share of two CPUs, %"
        ideal = each * count / 2 * 100
        yield name, ideal / rows_in(executor, each, count, None)
        if each > 0.0001:
            yield "… row by row", ideal / rows_in(executor, each, count, 1)


def of_arrays(executor):
    array = np.ones(ARRAY)
    yield (
        "100 MiB as argument, first time, ms",
        1e3 * seconds(lambda: executor.submit(total, array).result()),
    )
    yield (
        "… the same array again, ms",
        1e3 * seconds(lambda: executor.submit(total, array).result()),
    )
    handle = share(array)
    executor.submit(total_of, handle).result()
    yield (
        "… shared, ms",
        1e3 * seconds(lambda: executor.submit(total_of, handle).result()),
    )
    yield (
        "100 MiB as result, ms",
        1e3 * seconds(lambda: executor.submit(ones, ARRAY).result()),
    )
    yield (
        "100 MiB from call to call, ms",
        1e3
        * seconds(
            lambda: executor.submit(total, executor.submit(ones, ARRAY)).result()
        ),
    )


def show(title, executor, theirs=None):
    print(f"\n{title}")
    list(executor.map(nothing, range(100)))
    for rows in (of_calls(executor, theirs), of_maps(executor), of_arrays(executor)):
        for name, value in rows:
            print(f"  {name:<64} {value:12.3g}", flush=True)


def main():
    print(
        platform.platform(),
        os.cpu_count(),
        "CPUs, Python",
        sys.version.split()[0],
        "distributed",
        distributed.__version__,
    )
    with DaskExecutor(max_workers=2) as executor:
        show("DaskExecutor", executor, executor.client)
    with ProcessPoolExecutor(2) as executor:
        show("ProcessPoolExecutor", executor)


if __name__ == "__main__":
    main()
