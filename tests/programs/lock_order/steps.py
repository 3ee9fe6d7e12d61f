import sys
from opcode import opname


def interrupted(action, step):
    """Do it; raise where Python looks for signals within a lock's code so often."""
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
        if frame.f_code.co_filename != ranked.__file__:
            return None
        frame.f_trace_opcodes = True
        return at_step

    sys.settrace(at_call)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return left <= 0
