def until(count):
    """Wait for so many runs to have begun."""
    while len(runs()) < count:
        time.sleep(0.002)


def warm(workers):
    """An executor whose workers have loaded what unpacks our functions."""
    return executor(workers, initializer=__import__, initargs=("cloudpickle",))
