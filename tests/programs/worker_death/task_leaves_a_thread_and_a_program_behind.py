import subprocess


def task():
    threading.Thread(target=time.sleep, args=(60,)).start()
    return subprocess.Popen(["sleep", "60"]).pid


begun = time.monotonic()
with executor(1) as ex:
    sleeper = ex.submit(task).result(10)
print(time.monotonic() - begun < 20)
os.kill(sleeper, 9)
