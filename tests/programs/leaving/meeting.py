FOLDER = os.environ.get("FOLDER", "")


def meet(count):
    """Return when so many workers are here at once."""
    open(f"{FOLDER}/{os.getpid()}", "w").close()
    while len(os.listdir(FOLDER)) < count:
        time.sleep(0.001)


def hour(ignored=signal.SIGUSR1):
    signal.signal(ignored, signal.SIG_IGN)
    if FOLDER:
        open(f"{FOLDER}/{os.getpid()}", "w").close()
    os.write(1, b"running\n")
    time.sleep(3600)


def await_begun():
    while not os.listdir(FOLDER):
        time.sleep(0.001)


def spin():
    """Hold the interpreter: no other thread of this process can do anything."""
    import re

    os.write(1, b"running\n")
    re.match(r"(a*)*b", "a" * 60)
