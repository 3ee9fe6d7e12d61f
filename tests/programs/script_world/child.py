import multiprocessing, sys
from parallelize import ProcessPoolExecutor, processed

MISSING = object()


class Kind:
    pass


def square(x):
    return x * x, MISSING is MISSING, type(Kind()) is Kind


@processed
def decorated(x, a=MISSING):
    return x, a is MISSING, isinstance(Kind(), Kind)


def child(queue):
    out = [decorated(3).result(20), *decorated.map([1])]
    with ProcessPoolExecutor(1) as ex:
        out += [
            ex.submit(square, 2).result(20),
            ex.submit(lambda: Kind).result(20) is Kind,
        ]
        out.append(type(ex.submit(Kind).result(20)) is Kind)
    queue.put(out)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(queue.get(timeout=40))
    process.join()
