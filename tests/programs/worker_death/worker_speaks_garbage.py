def vandal():
    from parallelize.process.wire import messages
    from parallelize.process.wire.frames import pack

    me = engine()
    GARBAGE
    time.sleep(0.1)


with executor(2) as ex:
    slow = ex.submit(lambda: time.sleep(0.3) or "slow")
    outcome(ex.submit(vandal), 5)
    print(outcome(slow), outcome(ex.submit(abs, -1)))
