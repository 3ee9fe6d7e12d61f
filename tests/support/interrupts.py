"""Stops a function at each of its steps, as a signal handler that raises does."""

import sys


def at_each_step(action, *modules, event="opcode"):
    """Look at each step of an action: yield from the middle of it is not possible.

    Args:
        action: Called with nothing.
        modules: In whose functions the steps are counted.
        event: What a step is: ``opcode`` or ``line``.

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
            frame.f_trace_opcodes = event == "opcode"
            if what == event:
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
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
            sys.settrace(None)
            look()
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
