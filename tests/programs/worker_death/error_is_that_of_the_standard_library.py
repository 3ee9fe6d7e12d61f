from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool
import pickle

with executor(1) as ex:
    error = ex.submit(os._exit, 3).exception()
print(isinstance(error, BrokenProcessPool), isinstance(error, BrokenExecutor))
again = pickle.loads(pickle.dumps(error))
print(str(again) == str(error), again.exitcode)
