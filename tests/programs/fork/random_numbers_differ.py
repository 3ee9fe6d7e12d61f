import random, numpy


def draw(_):
    open(f"FOLDER/{os.getpid()}", "w").close()
    while len(os.listdir("FOLDER")) < 2:
        time.sleep(0.001)
    return os.getpid(), random.random(), numpy.random.random()


with executor(2) as ex:
    drawn = [
        *ex.map(draw, range(2), chunksize=1),
        (0, random.random(), numpy.random.random()),
    ]
print([len(set(column)) for column in zip(*drawn)])
