import copyreg, decimal, gc, logging, socket, sys

decimal.getcontext().prec = 50
decimal.getcontext().rounding = decimal.ROUND_DOWN
sys.setrecursionlimit(3333)
sys.set_int_max_str_digits(9999)
socket.setdefaulttimeout(12.5)
sys.setswitchinterval(0.01)
gc.disable()
logging.addLevelName(25, "NOTICE")


class MyLogger(logging.Logger):
    def notice(self, *a):
        return "noticed"


logging.setLoggerClass(MyLogger)


class Odd:
    def __init__(self, f):
        self.f = f

    def __getstate__(self):
        raise TypeError("no")


def make(v):
    o = Odd.__new__(Odd)
    o.f = v
    return o


copyreg.pickle(Odd, lambda o: (make, (o.f,)))
check(
    lambda: (
        decimal.getcontext().prec,
        decimal.getcontext().rounding,
        sys.getrecursionlimit(),
        sys.get_int_max_str_digits(),
        socket.getdefaulttimeout(),
        sys.getswitchinterval(),
        gc.isenabled(),
        logging.getLevelName(25),
    )
)
check(lambda: str(decimal.Decimal(1) / 3))
check(lambda: logging.getLogger("zz").notice())
print(ex.submit(lambda: Odd(3)).result().f)
check(lambda o: o.f, Odd(5))


async def dec():
    return str(decimal.Decimal(1) / 7)


adec = processed(dec)
print(adec().result())
