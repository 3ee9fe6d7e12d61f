import multiprocessing

key = multiprocessing.current_process().authkey
secret = "".join(map(chr, range(97, 123)))
ex = executor(2, initializer=len, initargs=(secret,))
ex.submit(len, secret).result()
pids = [*two_workers(ex), ex.submit(os.getppid).result()]
# A fork has the command line of the program, which holds this text.
lines = b"".join(open(f"/proc/{pid}/cmdline", "rb").read() for pid in pids)
print(secret.encode() in lines, key in lines, key.hex().encode() in lines)
ex.shutdown()
