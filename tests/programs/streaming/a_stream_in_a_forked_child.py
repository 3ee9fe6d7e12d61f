import warnings

warnings.simplefilter("ignore")  # 3.12 and later warn of threads and forks
fn = DECORATOR(numbers)
stream = fn.options(buffersize=3)(10)
print(next(stream), flush=True)
pid = os.fork()
if pid == 0:
    try:
        next(stream)
    except RuntimeError as error:
        print(error, flush=True)
    stream.close()
    print(*fn(3), flush=True)
    shutdown()
    os._exit(0)
os.waitpid(pid, 0)
print(*stream)
shutdown()
