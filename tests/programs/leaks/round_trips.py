def change(data):
    data = bytearray(data)
    data[0] = 1
    return data


with executor(2) as ex:
    big = bytearray(20 << 20)
    for f in [ex.submit(change, big) for _ in range(3)]:
        assert f.result() == b"\1" + big[1:]
    print(ex.submit(abs, -1).result(), big[0])
    try:
        import numpy
    except ImportError:
        print(True)
    else:
        array = numpy.arange(3_000_000)
        print(
            all(
                (f.result() == array + 1).all()
                for f in [ex.submit(numpy.add, array, 1) for _ in range(3)]
            )
        )
