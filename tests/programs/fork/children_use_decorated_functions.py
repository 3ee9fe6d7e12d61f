import parallelize


@parallelize.processed
def pid():
    return os.getpid()


mine = {pid().result() for _ in range(5)}


def work():
    print("child", {pid().result() for _ in range(5)} & mine)
    parallelize.shutdown()


print(in_child(work), in_child(work))
print("parent", len({pid().result() for _ in range(5)} & mine) > 0)
