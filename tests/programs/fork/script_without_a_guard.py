import os

os.write(1, b"the script runs\n")
from parallelize import ProcessPoolExecutor, processed


def twice(x):
    return 2 * x


with ProcessPoolExecutor(2, METHOD) as ex:
    print(list(ex.map(twice, [1, 2])), flush=True)
print(processed(twice)(4).result())
