import concurrent.futures, multiprocessing.pool, os, tempfile

ours = parallelize.ThreadPoolExecutor(1)
processes = ProcessPoolExecutor(1)
theirs = concurrent.futures.ThreadPoolExecutor(2, "named")
begun = []
prepared = concurrent.futures.ThreadPoolExecutor(1, "p", begun.append, (1,))
pool = multiprocessing.pool.ThreadPool(1)
with parallelize.ThreadPoolExecutor(1) as closed:
    closed.submit(abs, -1).result()


class Counting(concurrent.futures.ThreadPoolExecutor):
    def __init__(self, workers):
        super().__init__(workers)
        self.submitted = 0

    def submit(self, fn, *args):
        self.submitted += 1
        return super().submit(fn, *args)


class Service:
    def __init__(self):
        self.pool = parallelize.ThreadPoolExecutor(1)


counting = Counting(1)
service = Service()
for each in (ours, processes, theirs, prepared, counting, service.pool):
    each.submit(abs, -1).result()
pool.map(abs, [-1])

check(lambda: ours.submit(abs, -2).result(10))
check(lambda: processes.submit(abs, -2).result(10))
if ex._settings.method != "fork":  # a copy has them without their threads, as anywhere
    check(lambda: (theirs.submit(abs, -2).result(10), theirs._thread_name_prefix))
    check(lambda: prepared.submit(abs, -2).result(10))
    check(lambda: pool.map_async(abs, [-2]).get(10))
    check(lambda: (counting.submit(abs, -2).result(10), counting._max_workers))
    check(lambda: closed.submit(abs, -2).result(10), want="2")
check(lambda: service.pool.submit(abs, -2).result(10))
for each in (ours, processes, theirs, prepared, counting, service.pool):
    each.shutdown()
pool.terminate()

# What deletes a file when it is let go stays in the program.
temporary = tempfile.NamedTemporaryFile()
refused(lambda: temporary.name, "belongs to the program's own process")
ex.submit(lambda: "temporary" in globals()).result()
ex.shutdown()
check(lambda: 0, want="RuntimeError: cannot schedule new futures after shutdown")
print("deleted") if not os.path.exists(temporary.name) else None
temporary.close()
