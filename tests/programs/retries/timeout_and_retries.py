def task(i):
    note(i)
    time.sleep(60 if runs().count(i) < 2 else 0)
    return i


with executor(2) as ex:
    call = processed(retries=1, retry_on=RETRY_ON, timeout=0.5, executor=ex)(task)
    rows = call.map([2, 3, 4], return_exceptions=True)
    print(name(call(1)), {type(each).__name__ for each in rows}, runs())
