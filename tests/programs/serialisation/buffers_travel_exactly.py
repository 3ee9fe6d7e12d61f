import pickle


class Buffer:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)

    def same(self, other):
        return bytes(self.data) == bytes(other.data)


sizes = [0, 1, 1000, (1 << 15) - 1, 1 << 15, (1 << 18) + 3, 5_000_000]
pattern = bytes(range(251)) * 20_000
buffers = [
    Buffer(kind(pattern[:size])) for kind in (bytes, bytearray) for size in sizes
]
many = [Buffer(pattern[: 40_000 + i]) for i in range(600)]
with executor(2) as ex:
    got = [ex.submit(give, b).result(10) for b in buffers]
    print(all(a.same(b) for a, b in zip(buffers, got)))
    got = list(ex.map(give, buffers, chunksize=7))
    print(all(a.same(b) for a, b in zip(buffers, got)))
    got = ex.submit(give, many).result(10)  # more than one sendmsg takes
    print(all(a.same(b) for a, b in zip(many, got)))
