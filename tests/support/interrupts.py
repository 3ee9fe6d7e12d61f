"""Interrupts a function at each of its steps, or looks at what it has done so far."""

import sys


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
            if what == "opcode":
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
            look()  # of which no step is seen
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
