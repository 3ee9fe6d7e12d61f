"""`result(timeout=math.inf)`"""

import math

from benchmarks.faults import PATIENCE, finish, pool, slow_echo

if __name__ == "__main__":
    here = pool()
    here.submit(slow_echo, 0)(PATIENCE)
    finish(here, here.submit(slow_echo, 1)(math.inf), 1)
