def task(i):
    note(i)
    if runs().count(i) < 3:
        os.kill(os.getpid(), 9)
    return i


with executor(1) as ex:
    call = processed(retries=2, retry_on=KeyError, executor=ex)(task)
    print(name(call(1)), list(call.map([2, 3], chunksize=2)), runs())
