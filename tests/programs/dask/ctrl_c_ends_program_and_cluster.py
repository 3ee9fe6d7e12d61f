import sys

sys.path[:] = SYS_PATH
import tasks
from parallelize import DaskExecutor

with DaskExecutor(max_workers=1) as executor:
    held = executor.submit(tasks.hold, FOLDER)
    behind = executor.submit(tasks.double, 1)
    held.result()
