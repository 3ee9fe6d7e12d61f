def start():
    note("try")
    FAULT


files = open_files()
with executor(2, initializer=start) as ex:
    futures = [ex.submit(abs, -1) for _ in range(20)]
    print({outcome(f) for f in futures})
    try:
        print(list(ex.map(abs, [-1, -2])))
    except Exception as error:
        print(type(error).__name__)
print(len(runs()) <= 12 or runs())
print(nothing_left(files))
