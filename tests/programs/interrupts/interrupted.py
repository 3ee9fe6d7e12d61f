from functools import partial
import parallelize
from parallelize import ProcessPoolExecutor, ThreadPoolExecutor, parallelized

HERE = os.path.dirname(parallelize.__file__)
# In place of locks, which have no steps.
LOCKS = os.path.join(HERE, "runtime", "ranked.py")


def looks(frame):
    name = frame.f_code.co_filename
    if frame.f_code.co_qualname in ("Condition.__enter__", "Condition.__exit__"):
        name = frame.f_back.f_code.co_filename  # as those of ours
    return name != LOCKS and name.startswith(HERE)


def in_time(call):
    """What it returns, in another thread; nothing if that takes too long."""
    got = []

    def run():
        try:
            got.append(call())
        except BaseException as error:
            got.append(repr(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    return got
