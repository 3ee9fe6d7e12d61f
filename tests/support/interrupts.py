"""Interrupts a function at each of its steps, or looks at what it has done so far."""

import opcode
import sys

#: Marks the branch that a jump did not take. No signal handler runs there, and Python
#: 3.15 has no exception handler there either, so an error would pass by them all.
_NOT_TAKEN = opcode.opmap.get("NOT_TAKEN")


def at_each_step(action, *modules):
    """Interrupt an action at a step: an opcode of a function.

    Args:
        action: Called without arguments.
        modules: In whose functions the steps are counted.

    Returns:
        A function ``stop_at(step)`` that calls the action and raises KeyboardInterrupt
        at that step; it returns False when the action has ended before.
    """
    files = tuple(module.__file__ for module in modules)

    def stop_at(step):
        left = step

        def trace(frame, what, _):
            nonlocal left
            if frame.f_code.co_filename not in files:
                return None
            frame.f_trace_opcodes = True
            at = frame.f_code.co_code[frame.f_lasti]
            if what == "opcode" and at != _NOT_TAKEN:
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        # Python 3.12 asks at `settrace` whether any frame wants them.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(trace)
        try:
            action()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    return stop_at


def watch_steps(action, look, *modules):
    """Call ``look()`` at each opcode of an action in the functions of the modules."""
    files = tuple(module.__file__ for module in modules)

    def trace(frame, what, _):
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if what in ("opcode", "return"):
            look()  # of which no step is seen
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # as above
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
