def task(items):
    note(len(items))
    items.append(1)
    if len(runs()) < 3:
        raise OSError
    return items


with executor(2) as ex:
    call = processed(retries=5, executor=ex)(task)
    print(name(call([])), list(call.map([[0]])), runs())
