def numbers():
    yield from range(8)


ex, step, more = POOL(1), 0, True
fn = parallelized(ex)(numbers).options(buffersize=3)
while more:
    step += 1
    got, stream = [], fn()
    more = interrupted(lambda: got.extend(stream), step)
    rest = in_time(lambda: [*stream])
    # The item that was just being returned may be lost, as by any iterator.
    if not rest or [*got, *rest[0]] not in (
        [n for n in range(8) if n != lost] for lost in range(9)
    ):
        print(step, got, rest, flush=True)
        os._exit(1)
ex.shutdown()
print(step > 10)
