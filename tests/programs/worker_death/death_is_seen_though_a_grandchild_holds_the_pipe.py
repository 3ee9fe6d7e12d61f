import subprocess


def task():
    fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
    fds = [
        fd
        for fd in fds
        if fd > 2
        and os.path.exists(f"/proc/self/fd/{fd}")
        or os.path.islink(f"/proc/self/fd/{fd}")
        and fd > 2
    ]
    child = subprocess.Popen(["sleep", "60"], pass_fds=fds)
    os.write(write, b"%d" % child.pid)
    os.kill(os.getpid(), 9)


read, write = os.pipe()
name = f"/proc/{os.getpid()}/fd/{write}"


def start():
    global write
    write = os.open(name, os.O_WRONLY)
    task()


with executor(1) as ex:
    begun = time.monotonic()
    future = ex.submit(start)
    sleeper = int(os.read(read, 20))
    print(outcome(future, 20)[:11], outcome(ex.submit(abs, -1), 20))
print(time.monotonic() - begun < 20)
os.kill(sleeper, 9)
