import atexit
from parallelize import processed

ex = executor(1)
remote = processed(abs)
call = CALL
if USED:
    call().result()
HOW
