ex = executor(2)
mine = {ex.submit(os.getpid).result() for _ in range(5)}


def work():
    theirs = {ex.submit(os.getpid).result() for _ in range(5)}
    print("child", theirs & mine, list(ex.map(abs, [-1, -2])))
    ex.shutdown()


print(in_child(work), in_child(work))
print("parent", {ex.submit(os.getpid).result() for _ in range(5)} <= mine)
