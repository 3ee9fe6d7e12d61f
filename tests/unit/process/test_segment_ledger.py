"""What workers are told of segments: each of it once, and only whom it concerns."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from parallelize.process.memory.views import RELEASES_AT_ONCE, Release
from parallelize.process.parent.tasks.segment_ledger import SegmentLedger
from support.properties import machine

WORKERS = range(3)
GONE = 7  # a worker that is not there any more

ids = st.integers(1, 5)
workers = st.sampled_from([*WORKERS, GONE])


class Worker:
    """Notes what it is told."""

    def __init__(self):
        self.told = Counter()
        self.trimmed = 0

    @property
    def segments(self):
        return self

    def view_released(self, release):
        self.told["released", release.id, int(release.reusable)] += 1

    def forget(self, id):
        self.told["segment", id] += 1

    def forget_share(self, id):
        self.told["share", id] += 1

    def trim(self):
        self.trimmed += 1


class Ledger(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.rung = 0
        self.ledger = SegmentLedger(self.ring)
        self.workers = {id: Worker() for id in WORKERS}
        self.expected = {id: Counter() for id in WORKERS}
        self.waiting = []  # (worker or None for all, what it is to be told)

    def ring(self):
        self.rung += 1

    @rule(worker=workers, id=ids, reusable=st.booleans(), large=st.booleans())
    def a_view_is_gone(self, worker, id, reusable, large):
        before = self.rung
        self.ledger.on_view_released(
            worker, Release(id, reusable=reusable, large=large)
        )
        self.waiting.append((worker, ("released", id, int(reusable))))
        releases = sum(what[0] == "released" for _, what in self.waiting)
        assert (self.rung > before) == (large or releases >= RELEASES_AT_ONCE)
        assert self.ledger.warm

    @rule(worker=workers, id=ids)
    def a_handle_is_gone(self, worker, id):
        before = self.rung
        self.ledger.on_share_released(worker, id)
        self.waiting.append((worker, ("share", id)))
        assert self.rung > before

    @rule(id=ids)
    def a_segment_is_given_up(self, id):
        self.ledger.segments._closed(id)
        self.waiting.append((None, ("segment", id)))

    @rule()
    def tell(self):
        self._expect_all()
        self.ledger.send_notices(self.workers)
        assert not self.ledger.has_news

    @rule()
    def trim(self):
        self._expect_all()
        self.ledger.trim_idle_memory(self.workers)
        assert not self.ledger.warm

    @rule(worker=st.sampled_from([*WORKERS]))
    def a_worker_ends(self, worker):
        self.workers.pop(worker, None)

    def _expect_all(self):
        for worker, what in self.waiting:
            for id in self.workers if worker is None else [worker]:
                if id in self.workers:
                    self.expected[id][what] += 1
        self.waiting.clear()

    @invariant()
    def each_was_told_once(self):
        for id, worker in self.workers.items():
            assert worker.told == self.expected[id]

    @invariant()
    def news_are_noticed(self):
        if any(what[0] != "share" for _, what in self.waiting):
            assert self.ledger.has_news


Ledger.TestCase.settings = machine
TestLedger = Ledger.TestCase
