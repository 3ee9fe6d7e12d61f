with executor(1) as ex:
    running = ex.submit(time.sleep, 0.1)
    queued = ex.submit(abs, -1)
    dying = ex.submit(os._exit, 1)
    ended = ex.submit(abs, -1)
    for f in (running, queued, dying):
        try:
            MEDDLE
        except BaseException as error:
            print(type(error).__name__)
    print([outcome(f) for f in (running, queued, dying)])
    print(outcome(ended), outcome(ex.submit(abs, -2)))
    f = ended
    try:
        MEDDLE
    except BaseException as error:
        print(type(error).__name__)
    print(ended.cancel(), outcome(ended))
