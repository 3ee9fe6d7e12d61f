import threading
from parallelize.runtime import locks
from parallelize.runtime import native

assert locks.reentrant("pool") is threading.RLock
assert locks.plain("stream") is threading.Lock
assert locks.reentrant("sender", native.RLock) is native.RLock
import parallelize.futures.future, parallelize.process.parent.pool, sys

assert "parallelize.runtime.ranked" not in sys.modules
