import threading, time
from freezegun import freeze_time

with freeze_time("2012-01-14"):
    from parallelize import TaskTimeout, processed, threaded

    quick = [kind(lambda x: x, timeout=1000) for kind in (threaded, processed)]
    print([each(1).result(20) for each in quick])
    late = [kind(lambda: go.wait(0.5), timeout=0.1) for kind in (threaded,)]
    go = threading.Event()
    print([type(each().exception(20)).__name__ for each in late])
print([each(2).result(20) for each in quick])
