import traceback, warnings

warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads


def in_child(work):
    """Do some work in a fork; return the exit code of that."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(10)  # a child that hangs ends by SIGALRM
        try:
            work()
            sys.stdout.flush()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
