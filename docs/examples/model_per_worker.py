"""Scores reviews with a model that is costly to load: once in each worker.

usage: model_per_worker.py [number of reviews]
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from parallelize import per_worker, processed, shutdown, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 2
WORDS = ("good", "bad", "fine", "poor", "great", "dull", "bright", "slow")

folder = tempfile.TemporaryDirectory()


class Model:
    """Stands for a large model: it takes a while to load, and uses a device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.calls = 0
        self._weights = {word: math.sin(at + 1) for at, word in enumerate(WORDS)}
        sleep(0.3)

    def score(self, text: str) -> float:
        """Return how favourable a text is."""
        self.calls += 1
        words = Counter(text.split())
        return sum(self._weights[word] * count for word, count in words.items())


@per_worker
def model() -> Iterator[Model]:
    """Load the model of a worker; write its report when the worker leaves."""
    loaded = Model(device=f"device {worker().index}")
    yield loaded
    report = Path(folder.name, f"report {worker().index}")
    report.write_text(f"{loaded.device}: loaded once, {loaded.calls} calls\n")


@processed(max_workers=WORKERS)
def score(text: str) -> float:
    """Score a text with the model of this worker."""
    return model().score(text)


count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
reviews = [
    " ".join(WORDS[(at * step) % 8] for step in range(20)) for at in range(count)
]

here = Model(device="the program")
expected = [here.score(review) for review in reviews]
print("same scores:", list(score.map(reviews)) == expected)

shutdown()  # the workers leave: each runs what follows its yield
reports = sorted(Path(folder.name).iterdir())
print(*(report.read_text() for report in reports), sep="", end="")
folder.cleanup()
