import os
from parallelize import ProcessPoolExecutor

out = os.dup2(1, 50)
for fd in CLOSED:
    os.close(fd)
with ProcessPoolExecutor(2, mp_context=METHOD) as ex:
    small = [each.result(30) for each in [ex.submit(abs, -n) for n in range(4)]]
    os.write(out, repr((small, ex.submit(len, b"x" * 3_000_000).result(30))).encode())
