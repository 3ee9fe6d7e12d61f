ex, step, more = POOL(2), 0, True
while more:
    step += 1
    results = ex.map(int, "12345678", chunksize=1)
    more = interrupted(lambda: [*results], step)
    others = in_time(lambda: [*results])
    if not others or others[0] not in ([1, 2, 3, 4, 5, 6, 7, 8][n:] for n in range(9)):
        print(step, others, flush=True)
        os._exit(1)
ex.shutdown()
print(step > 10)
