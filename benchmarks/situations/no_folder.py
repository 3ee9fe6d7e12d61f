"""the folder in which the program runs is deleted before its first call"""

import os
import tempfile

from benchmarks.faults import check, echo, pool

if __name__ == "__main__":
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    check(pool(), [(echo, 1)], [1])
