"""a worker attaches the program's `SharedMemory`, and leaves"""

from multiprocessing import shared_memory

from benchmarks.faults import echo, outcome, pool, tell


def read(name):
    block = shared_memory.SharedMemory(name)
    try:
        return block.buf[0]
    finally:
        block.close()


if __name__ == "__main__":
    block = shared_memory.SharedMemory(create=True, size=100)
    block.buf[0] = 7
    here = pool()
    here.submit(echo, 0)(30)
    got = [here.submit(read, block.name)(30)]
    here.close()
    again = outcome(lambda _: read(block.name))
    tell(got=[*got, again], want=[7, 7])
    block.close()
    block.unlink()
