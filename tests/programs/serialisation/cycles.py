cycle = [1]
cycle.append(cycle)
with executor(1) as ex:
    future = ex.submit(give, cycle)
    print(future.result(10)[1][1][0])
    (got,) = ex.map(give, [cycle])
    print(got[1][1][0])
