"""The program of the README's picture; `film` kills one of its workers meanwhile."""

import time

from parallelize import processed


@processed(retries=1)
def render(frame: int) -> str:
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end:
        frame * frame
    return f"frame {frame}"


frames = list(render.map(range(100), progress=True))
missing = {f"frame {n}" for n in range(100)} - set(frames)
print(f"{len(frames)} frames rendered, {len(missing)} missing")
