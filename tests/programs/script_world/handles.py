from parallelize import ProcessPoolExecutor, share


class Item:
    def __init__(self, n):
        self.n = n


numbers = share([1, 2, 3])
items = share([Item(1), Item(2)])
ready = None


def initialize(handle):
    global ready
    ready = handle.get(), numbers.get()


def read(handle):
    return handle is numbers, numbers.get(), items.get()[1].n


def kinds():
    return type(items.get()[0]) is Item, ready


with ProcessPoolExecutor(1, initializer=initialize, initargs=(numbers,)) as ex:
    print(ex.submit(read, numbers).result(), ex.submit(kinds).result())
