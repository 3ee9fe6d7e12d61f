import socket

handled = HANDLED


def handler(*_):
    open(handled, "w").close()


bell, ring = socket.socketpair()
bell.setblocking(False)
ring.setblocking(False)
signal.set_wakeup_fd(ring.fileno())
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
    signal.signal(number, handler)
ex = executor(1)
pid = ex.submit(os.getpid).result()
victim = ex.submit(hour)
await_begun()
os.kill(pid, signal.SIGTERM)
print(type(victim.exception(10)).__name__, ex.submit(abs, -1).result())
try:
    print("rung", bell.recv(9))
except BlockingIOError:
    print("silent")
print(os.path.exists(handled))
signal.set_wakeup_fd(-1)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
