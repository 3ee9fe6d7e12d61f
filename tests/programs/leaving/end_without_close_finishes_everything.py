ex = executor(2)


def work(i):
    time.sleep(0.05)
    os.write(1, b"done\n")


for i in range(6):
    ex.submit(work, i)
ENDING
