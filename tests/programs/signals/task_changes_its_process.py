files = open_files()


def misdeed():
    MISDEED
    return os.getpid()


with executor(1) as ex:
    pid = ex.submit(misdeed).result()
    print(ex.submit(abs, -1).result(), ex.submit(os.getpid).result() == pid)
    print(list(ex.map(len, [bytes(1 << 20), bytes(9)])), outcome(ex.submit(int, "x")))
print(nothing_left(files))
