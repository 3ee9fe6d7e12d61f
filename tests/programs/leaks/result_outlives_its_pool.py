import gc, numpy

files = open_files()
ex = executor(1)
array = ex.submit(numpy.arange, 2_000_000).result()
part = array[1_000_000:]
ex.shutdown()
del ex, array
gc.collect()
part += 1
print(part[0], int(part.sum()) == sum(range(1_000_001, 2_000_001)))
del part
gc.collect()
print(nothing_left(files))
