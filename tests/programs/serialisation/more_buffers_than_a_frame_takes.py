import pickle

data = bytes(1 << 15)  # the least that travels beside the pickle


class Buffer:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(data),)


def make():
    return [Buffer(data) for _ in range(4100)]


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    if WAY == "argument":
        print(outcome(ex.submit(len, make()), 15))
    else:
        future = ex.submit(make)
        error = future.exception(15)
        print(len(future.result()) if error is None else error)
    print(survives(ex, pid))
