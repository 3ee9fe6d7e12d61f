from functools import partial
from opcode import opname
import parallelize
from parallelize import ProcessPoolExecutor, ThreadPoolExecutor, parallelized

HERE = os.path.dirname(parallelize.__file__)
LOCKS = os.path.join(
    HERE, "runtime", "ranked.py"
)  # in place of locks, which have no steps


def interrupted(call, step):
    """Call it; raise where it looks so often. Return whether it does."""
    left, last = step, ""

    def at_step(frame, event, _):
        nonlocal left, last
        if event == "opcode":
            now = opname[frame.f_code.co_code[frame.f_lasti]]
            left -= now == "RESUME" or last[:4] == "CALL" or last == "JUMP_BACKWARD"
            last = now
            if left == 0:
                sys.settrace(None)
                signal.default_int_handler(signal.SIGINT, None)
        return at_step

    def at_call(frame, event, _):
        name = frame.f_code.co_filename
        if frame.f_code.co_qualname in ("Condition.__enter__", "Condition.__exit__"):
            name = frame.f_back.f_code.co_filename  # as those of ours
        if name == LOCKS or not name.startswith(HERE):
            return None
        frame.f_trace_opcodes = True
        return at_step

    sys.settrace(at_call)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return left <= 0


def count(call):
    """Have its steps be seen: they are only from the second time on."""
    for _ in range(9):
        interrupted(call, 1 << 40)


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
