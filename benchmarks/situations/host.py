"""`sys.executable` is the program itself, as in an embedding host: how often it runs"""

import os
import stat
import sys

from benchmarks.faults import check, echo, note, pool, size, tell

STARTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "starts")

note(STARTS)
if size(STARTS) > 20:
    os._exit(1)
host = STARTS + ".sh"
with open(host, "w") as file:
    file.write(
        f'#!/bin/sh\nexec {sys.executable} {os.path.abspath(__file__)} "{sys.argv[-1]}"\n'
    )
os.chmod(host, stat.S_IRWXU)
sys.executable, sys.frozen = host, True
if size(STARTS) == 1:
    check(pool(), [(echo, 1)], [1])
else:
    pool().submit(echo, 1)(2)
