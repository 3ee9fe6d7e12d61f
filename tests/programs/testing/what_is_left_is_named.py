left = []


def test_clean(parallelize_no_leaks):
    with ProcessPoolExecutor(1) as executor, ThreadPoolExecutor(1) as threads:
        assert executor.submit(abs, -1).result() == 1
        assert threads.submit(abs, -1).result() == 1
    assert processed(abs)(-1).result() == 1  # the shared pool may stay


def test_without_use_of_it(parallelize_no_leaks):
    pass


def test_threads(parallelize_no_leaks):
    left.append(ThreadPoolExecutor(1, "mine"))
    left[-1].submit(abs, -1).result()


def test_processes(parallelize_no_leaks):
    left.append(ProcessPoolExecutor(1))
    left[-1].submit(abs, -1).result()
