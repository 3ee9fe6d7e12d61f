import logging

lines = []


class Kept(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())


logging.getLogger("parallelize").addHandler(Kept())
with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    os.kill(pid, 9)
    ex.submit(abs, -1).result(10)
print(len(lines), str(pid) in "".join(lines), "SIGKILL" in "".join(lines))
