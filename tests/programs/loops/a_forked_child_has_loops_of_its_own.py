import parallelize, warnings

warnings.simplefilter("ignore", DeprecationWarning)
held, double = decorate(hour), decorate(soon)
future = held()
double(0).result()
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    try:
        future.result()
    except RuntimeError as error:
        tell(f"child: {error}")
    tell(f"child: {double(1).result()}")
    parallelize.shutdown()
    os._exit(0)
os.waitpid(pid, 0)
tell(f"parent: {double(2).result()} {future.cancel()}")
parallelize.shutdown()
