"""Tasks that have arrived: each is run or given back, and definitions stay in order."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallelize.process.wire import messages
from parallelize.process.wire.frames import ProtocolError, pack
from parallelize.process.worker.inbox import Inbox
from support.properties import steady

kinds = st.sampled_from([messages.CALL, messages.ROWS, messages.DEFINE])


@pytest.fixture(scope="module")
def pair():
    """The sockets of all examples, which leave nothing in them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def frame(kind, id):
    return b"".join(pack(kind, id, [b"part"]))


@steady
@given(st.lists(kinds, max_size=12), st.lists(kinds, max_size=12), st.integers(0, 12))
def test_what_has_not_begun_is_given_back_and_definitions_stay(
    pair, read, unread, taken
):
    ours, theirs = pair
    inbox = Inbox(theirs)
    ids = range(1, len(read) + len(unread) + 1)
    sent = list(zip([*read, *unread], ids, strict=True))
    first, rest = sent[: len(read)], sent[len(read) :]
    if first:
        ours.sendall(b"".join(frame(*each) for each in first))
        assert inbox.read()
    run = [inbox.next() for _ in range(min(taken, len(read)))]
    if rest:
        ours.sendall(b"".join(frame(*each) for each in rest))
    left = sent[len(run) :]
    assert [(each.kind, each.id) for each in run] == sent[: len(run)]
    assert inbox.take_back() == [
        id for kind, id in reversed(left) if kind != messages.DEFINE
    ]
    assert [(each.kind, each.id) for each in inbox.tasks] == [
        each for each in left if each[0] == messages.DEFINE
    ]


def test_an_invalid_frame_that_the_watcher_finds_is_raised_in_the_main_thread():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inbox = Inbox(theirs)
        ours.sendall(b"\xff" * 64)
        assert inbox.take_back() == []
        with pytest.raises(ProtocolError):
            inbox.read()


def test_the_end_of_the_stream_is_none():
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(frame(messages.CALL, 1))
        inbox = Inbox(theirs)
        assert inbox.next().id == 1
        assert inbox.next() is None
