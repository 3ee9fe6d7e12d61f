import numpy as np

with executor(1) as ex:
    blocker = ex.submit(time.sleep, 0.2)
    array = np.ones(1_000_000)
    single, held = ex.submit(np.sum, array), ex.submit(np.sum, array)
    rows = ex.map(np.sum, [array, array])
    array[:] = 0
    print(single.result(10), held.result(10), *rows)
