def blobs(count):
    for number in range(count):
        yield bytearray([number]) * (1 << 20)


with executor(2) as pool:
    kept = list(parallelized(pool)(blobs)(100))
    print(all(set(blob) == {n} for n, blob in enumerate(kept)))
