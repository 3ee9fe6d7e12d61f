"""What workers draw from the global generators, those that are replaced, too."""

import random

import numpy as np

np.random.seed(7)
random.seed(7)


def draw(_=None):
    import random

    import numpy as np

    return (
        os.getpid(),
        float(np.random.rand()),
        random.random(),
        int(np.random.randint(1 << 30)),
    )


def seeded():
    np.random.seed(3)
    random.seed(3)


with executor(2, max_tasks_per_child=1) as ex:
    drawn = [ex.submit(draw).result(30) for _ in range(5)]
for column in zip(*drawn):
    print(len(set(column)))
with executor(1, initializer=seeded) as ex:
    np.random.seed(3)
    random.seed(3)
    print(ex.submit(draw).result(30)[1:] == draw()[1:])

# Another kind of generator, where numpy can have one.
if hasattr(np.random, "set_bit_generator"):
    np.random.set_bit_generator(np.random.PCG64(1))
with executor(2, max_tasks_per_child=1) as ex:
    print(len({ex.submit(draw).result(30)[1] for _ in range(4)}))
