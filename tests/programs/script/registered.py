import codecs, collections.abc, copyreg, csv, decimal, gettext, io, logging, mimetypes
import numbers, os, sys, threading, warnings

csv.register_dialect("pipes", delimiter="|", quoting=csv.QUOTE_ALL)
csv.field_size_limit(777)


def myerr(e):
    return ("?!", e.end)


codecs.register_error("mine", myerr)


def search(name):
    if name == "shout":
        return codecs.CodecInfo(
            lambda s, e="strict": (s.upper().encode(), len(s)),
            lambda b, e="strict": (bytes(b).decode().upper(), len(b)),
            name="shout",
        )


codecs.register(search)
mimetypes.add_type("text/x-mine", ".mine")
warnings.filterwarnings("error", message="mine.*")
warnings.simplefilter("ignore", FutureWarning)
logging.getLogger("quiet").setLevel(logging.ERROR)
logging.disable(logging.DEBUG)
factory = logging.getLogRecordFactory()


def record(*a, **k):
    r = factory(*a, **k)
    r.custom = "cus"
    return r


logging.setLogRecordFactory(record)


class Kind:
    def __init__(s):
        s.x = 1


copyreg.add_extension("__main__", "Kind", 241)


@collections.abc.Sequence.register
class Seq:
    pass


class Num:
    pass


numbers.Number.register(Num)
gettext.install("nothing")
os.umask(0o27)
sys.tracebacklimit = 7
sys.my_flag = "flag"
decimal.DefaultContext.prec = 11
decimal.setcontext(decimal.DefaultContext)


def f_csv():
    out = io.StringIO()
    csv.writer(out, "pipes").writerow([1, "a"])
    return out.getvalue(), csv.field_size_limit(), sorted(csv.list_dialects())


def f_err():
    return b"\xff".decode("ascii", "mine")


def f_codec():
    return "abc".encode("shout")


def f_mime():
    return mimetypes.guess_type("a.mine")


def f_warn():
    try:
        warnings.warn("mine it")
    except UserWarning as e:
        return "raised"
    return "not"


def f_future():
    warnings.warn("f", FutureWarning)
    return 1


def f_log():
    return logging.getLogger("quiet").isEnabledFor(logging.WARNING), logging.getLogger(
        "q"
    ).manager.disable


def f_record():
    return logging.getLogger("q").makeRecord("q", 20, "f", 1, "m", (), None).custom


def f_kind(k):
    return k.x, type(k) is Kind


def f_seq():
    return isinstance(Seq(), collections.abc.Sequence), isinstance(
        Num(), numbers.Number
    )


def f_get():
    return _("text")


def f_umask():
    m = os.umask(0)
    os.umask(m)
    return m


def f_tb():
    return sys.tracebacklimit


def f_flag():
    return sys.my_flag


def f_dec():
    return decimal.getcontext().prec, decimal.DefaultContext.prec


def in_thread():
    out = []
    t = threading.Thread(target=lambda: out.append(decimal.getcontext().prec))
    t.start()
    t.join()
    return out


check(f_csv)
for f in (
    f_err,
    f_codec,
    f_mime,
    f_warn,
    f_future,
    f_log,
    f_record,
    f_seq,
    f_get,
    f_umask,
    f_tb,
    f_flag,
    f_dec,
    in_thread,
):
    check(f)
check(f_kind, Kind())
print(type(ex.submit(Kind).result()) is Kind)
