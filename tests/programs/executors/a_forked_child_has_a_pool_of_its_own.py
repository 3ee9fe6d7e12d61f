import tempfile, pathlib, signal
from factories import Latch

latch = Latch(pathlib.Path(FOLDER))
held = executor.submit(tasks.hold, latch.folder, 5)
latch.wait_begun()
behind = [executor.submit(tasks.double, n) for n in range(100)]
child = os.fork()
if child == 0:
    signal.alarm(20)
    try:
        held.result(5)
    except RuntimeError as error:
        assert "fork" in str(error), error
    else:
        os._exit(1)
    assert executor.submit(tasks.double, 4).result(10) == 8
    executor.shutdown()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
latch.release()
assert held.result(10) == 5
assert [future.result(10) for future in behind] == [2 * n for n in range(100)]
