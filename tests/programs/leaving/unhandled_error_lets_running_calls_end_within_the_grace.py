ex = executor(1)


def work():
    os.write(1, b"begun\n")
    time.sleep(0.1)
    os.write(1, b"ended\n")


f = ex.submit(work)
while not f.running():
    pass
raise ValueError
