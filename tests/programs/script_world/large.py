import sys
from parallelize import ProcessPoolExecutor
from parallelize.serialize.main import picture as main_picture

table = list(range(300_000))
other = dict.fromkeys(range(300_000))


def small():
    return 1


def large():
    return table[-1]


def all_names():
    return len(globals()["other"])


sent = []
lacks = main_picture.Knowledge.lacks


def counting(self, needs):
    units = lacks(self, needs)
    sent.extend(n for u in units for n in u[1] if n in ("table", "other"))
    return units


main_picture.Knowledge.lacks = counting

with ProcessPoolExecutor(1) as ex:
    for fn in (small, large, small, large, all_names, all_names):
        ex.submit(fn).result()
    table[-1] = 7
    print(ex.submit(large).result())
    print(list(ex.map(lambda _: table[-1], range(3))))
print(sent)
