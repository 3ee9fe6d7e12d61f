import subprocess


def inherited():
    code = "import os; print([os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and os.path.exists(f'/proc/self/fd/{fd}')])"
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        close_fds=False,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


before = inherited()
with executor(2) as ex:
    for f in [ex.submit(abs, -1) for _ in range(4)]:
        f.result()
    print([ex.submit(inherited).result(), inherited(), before])
