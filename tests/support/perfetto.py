"""What Perfetto asks of a trace in JSON, checked of a whole file.

By the rules that it publishes for the Trace Event Format: identifiers of processes and
threads have 32 bits; moments are microseconds, of which it keeps whole nanoseconds and
cuts off the rest; a complete event ("X") that begins within another of its row has to
end within it, or it is dropped; events of one moment are nested in the order in which
they come; of what begins asynchronously ("b") each has its end ("e").
"""

import collections
import json

BITS = 1 << 31


def nanoseconds(micros):
    return int(micros * 1000)


def faults(text):
    """Return what is wrong with a trace, as a list of sentences; empty if nothing."""
    events = json.loads(text)["traceEvents"]
    found = [f"an identifier in {e}" for e in events if not _are_small(e)]
    found += [f"a moment in {e}" for e in events if e["ph"] != "M" and e["ts"] < 0]
    rows = collections.defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            rows[event["pid"], event["tid"]].append(event)
    for row in rows.values():
        found += _overlaps(row)
    names = [e for e in events if e["name"] == "thread_name"]
    named = collections.Counter((e["pid"], e["tid"]) for e in names)
    found += [f"row {row} has no name" for row in rows if not named[row]]
    found += [f"row {row} has {n} names" for row, n in named.items() if n > 1]
    by_number = collections.Counter(tid for _, tid in named)
    found += [f"two rows are {tid}" for tid, n in by_number.items() if n > 1]
    return [*found, *_without_their_ends(events)]


def _are_small(event):
    numbers = (event["pid"], event["tid"])
    return all(isinstance(n, int) and 0 <= n < BITS for n in numbers)


def _overlaps(row):
    ends = []
    for event in sorted(row, key=lambda each: nanoseconds(each["ts"])):  # stable
        begin = nanoseconds(event["ts"])
        end = begin + nanoseconds(event["dur"])
        while ends and ends[-1] <= begin:
            ends.pop()
        if ends and end > ends[-1]:
            yield f"{event['name']} at {event['ts']} ends after what it lies in"
        elif event["dur"] < 0:
            yield f"{event['name']} at {event['ts']} ends before it begins"
        else:
            ends.append(end)


def _without_their_ends(events):
    begun = {}
    for event in events:
        if event["ph"] not in "be":
            continue
        key = event["cat"], event["id"], event["name"]
        if event["ph"] == "b":
            if key in begun:
                yield f"{key} begins twice"
            begun[key] = event["ts"]
        elif begun.pop(key, event["ts"] + 1) > event["ts"]:
            yield f"{key} ends before it begins"
    yield from (f"{key} does not end" for key in begun)
