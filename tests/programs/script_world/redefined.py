from functools import partial

from parallelize import process_map, processed


def work(number: int) -> int:
    return number


print(list(process_map(partial(work), [1])))


@processed
def work(number: int) -> int:
    return number + 1


print(work(3).result())
