files = open_files()
ex = executor(1)
running, queued = ex.submit(hour), ex.submit(abs, -1)
if BEGUN:
    await_begun()
ex.kill_workers()
try:
    running.result(5)
except BaseException as error:
    print(type(error).__name__, queued.cancelled())
    if "memory" in str(error):
        print(error)
print(nothing_left(files), flush=True)
os._exit(0)
