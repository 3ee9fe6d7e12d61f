def task(i):
    note(i)
    count = runs().count(i)
    if count == 1:
        os._exit(9)
    raise ValueError(f"start {count}")


with executor(1) as ex:
    print(outcome(processed(retries=2, executor=ex)(task)(5)), runs())
