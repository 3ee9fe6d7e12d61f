from parallelize import threaded


@threaded
def successor(x):
    return x + 1


for value in successor.map(double.map(successor.map(itertools.count()))):
    if value > 20:
        print(value)
        break
