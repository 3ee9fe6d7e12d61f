import os
from parallelize import NAME


@DECORATOR
def f(x):
    return 2 * x


print(f(1).result(), flush=True)
child = os.fork()
if not child:
    print(f(2).result(), list(f.map([3, 4])), flush=True)
else:
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    print(f(5).result(), flush=True)
