import subprocess


def work():
    return subprocess.Popen(
        ["sleep", "20"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).pid


ex = executor(1)
grandchild = ex.submit(work).result()
ex.shutdown()
print(nothing_left(open_files()))
os.kill(grandchild, signal.SIGKILL)
