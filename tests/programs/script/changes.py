X = 1


def gx():
    return X


check(gx)
X = 2
check(gx)


def gx():
    return ("new", X)


check(gx)


class K:
    a = 1

    def m(self):
        return self.a


def km():
    return K().m()


check(km)
K.a = 5
check(km)
K.m = lambda self: ("patched", self.a)
check(km)
k = K()


class K:
    a = 9

    def m(self):
        return ("other", self.a)


check(km)
check(lambda: type(k).a)
CONF = {"a": 1, "deep": {"b": [1, 2]}}


def conf():
    return CONF["deep"]["b"], CONF["a"]


check(conf)
CONF["deep"]["b"].append(3)
check(conf)
CONF["a"] = 7
check(conf)
for i in range(3):

    def use_i():
        return i

    check(use_i)
Y = 1


def gy():
    return Y


check(gy)
del Y
check(gy)
Y = 3
check(gy)
state = []


def worker_state(v):
    state.append(v)
    return list(state)


check(worker_state, 1, want="[1]")
check(worker_state, 2, want="[1, 2]")
counter = 0


def bump():
    global counter
    counter += 1
    return counter


check(bump, want="1")
check(bump, want="2")
counter = 10
check(bump, want="11")
BIG = list(range(200_000))


def last():
    return BIG[-1], len(BIG)


check(last)
BIG[-1] = 5
check(last)
BIG.append(77)
check(last)


def make(n):
    def add(x):
        return x + n + X

    return add


add3 = make(3)
check(add3, 1)
check(make(4), 1)
X = 100
check(add3, 1)
# results that are main things
print(
    ex.submit(lambda: (K, gx, K())).result()[0] is K,
    ex.submit(lambda: gx).result() is gx,
)


# error classes
class Boom(Exception):
    pass


def boom():
    raise Boom("x")


try:
    ex.submit(boom).result()
except Boom:
    print("boom ok")
print(
    list(ex.map(gx, *[[] for _ in ()]))
    if False
    else list(ex.map(lambda v: v + X, range(3)))
)


@processed
def deco(n):
    return n if n < 2 else deco.__wrapped__(n - 1) + X


check(lambda: deco.__wrapped__(3))
print(deco(3).result(), list(deco.map([1, 2])))


@processed
async def co():
    return X


print(co().result())


def g():
    yield X
    yield K


@processed
def gs():
    yield X
    yield CONF["a"]


print(list(gs()))


def any_name(n):
    return globals().get(n)


passing = 1
check(any_name, "passing")
passing = 2
check(any_name, "passing")
del passing
check(any_name, "passing")
