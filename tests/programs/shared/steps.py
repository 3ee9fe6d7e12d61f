"""Ctrl-C at any step of a call, in the code of which `looks(frame)` is true."""

import signal, sys
from opcode import opname


def interrupted(call, step):
    """Call it; raise where Python looks for signals so often. Return whether it does."""
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
        if not looks(frame):
            return None
        frame.f_trace_opcodes = True
        return at_step

    # Python 3.12 asks at `settrace` whether any frame wants them.
    sys._getframe().f_trace_opcodes = True
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
