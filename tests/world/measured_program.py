"""Runs `measured_functions` in workers, of the method that it is given."""

import sys

import measured_functions as functions

from parallelize import ProcessPoolExecutor, processed

method = sys.argv[1]


def of_the_script(x):
    return x * 2  # of_the_script


with ProcessPoolExecutor(
    2, mp_context=method, initializer=functions.initialize
) as executor:
    on = {"executor": executor}
    assert executor.submit(functions.call, 1).result(30) == 2
    assert list(executor.map(functions.row, range(4))) == [0, 1, 12, 3]
    assert list(processed(**on)(functions.items)()) == [0, 1, 2]
    assert processed(**on)(functions.coroutine)(5).result(30) == 5
    assert processed(**on)(functions.in_a_thread)().result(30) == [1]
    assert processed(**on)(of_the_script)(4).result(30) == 8
with ProcessPoolExecutor(1, mp_context=method, max_tasks_per_child=1) as executor:
    for x in range(2):
        executor.submit(functions.call, x).result(30)
