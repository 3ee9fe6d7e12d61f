import faulthandler

faulthandler.disable()


def held():
    while not os.path.exists(GO):
        time.sleep(0.001)
    return os.getpid()


ex = executor(1)
first = ex.submit(os.getpid).result()
running = ex.submit(held)
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    ENDING
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
open(GO, "w").close()
print(code, running.result() == first, ex.submit(os.getpid).result() == first)
