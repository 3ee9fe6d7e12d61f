"""A task imports a module that has gevent patch its worker."""

from parallelize import processed, use


def work(n):
    import patches_itself

    return patches_itself.at_once(n)


def blocks(n):
    import patches_itself

    yield from patches_itself.blocks(n)


async def later(x):
    import patches_itself

    return await patches_itself.later(x)


with executor(2) as pool, use(pool):
    print(outcome(pool.submit(work, 5)))
    print(sum(map(len, processed(blocks)(30))))
    print([outcome(processed(later)(x)) for x in range(4)])
    print(outcome(pool.submit(work, 3)))
print("end")
