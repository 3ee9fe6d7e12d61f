import os
import warnings

warnings.simplefilter("ignore")  # DeprecationWarning: other threads run
results = double.map(waiting(50))
print(next(results), flush=True)
if (child := os.fork()) == 0:
    try:
        list(results)  # what had come already is given
    except RuntimeError as error:
        print("child:", error, flush=True)
    results.close()
    print("child:", list(double.map(waiting(3))), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
print(sum(results))
