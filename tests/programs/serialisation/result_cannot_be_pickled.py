import pickle, warnings


async def coroutine():
    pass


async def asynchronous():
    yield


def task(_=None):
    warnings.simplefilter("ignore")
    return VALUE


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    error = ex.submit(task).exception(10)
    print(isinstance(error, pickle.PicklingError), error)
    rows = ex.map(task, range(3), chunksize=3, return_exceptions=True)
    print([type(each).__name__ for each in rows])
    print(survives(ex, pid))
