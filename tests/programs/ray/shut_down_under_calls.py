"""Ray is shut down by the program, under a call that runs."""

import os
import tempfile
import time

import ray

from parallelize import ClusterLost, RayExecutor, WorkerDied

ray.init(
    num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False
)
folder = tempfile.mkdtemp()


def hold(folder):
    open(os.path.join(folder, "begun"), "w").close()
    time.sleep(3600)


executor = RayExecutor()
held = executor.submit(hold, folder)
while not os.listdir(folder):
    time.sleep(0.01)
ray.shutdown()
print(isinstance(executor.submit(abs, 1).exception(60), ClusterLost), flush=True)
print(isinstance(held.exception(60), WorkerDied), flush=True)
executor.shutdown()
print(ray.is_initialized())
