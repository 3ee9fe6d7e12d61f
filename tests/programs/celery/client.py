"""Asks for the tasks that are named, one after the other, and prints what comes of them."""

import sys

import app

# A message is moved to where the worker looks for it when it is complete. Celery's
# transport writes it there, and the worker ends if it reads half of one.
OUTBOX = app.QUEUE / "outbox"
OUTBOX.mkdir(exist_ok=True)
app.app.conf.broker_transport_options["data_folder_out"] = OUTBOX


def ask(name, *args):
    answer = getattr(app, name).delay(*map(int, args))
    for path in OUTBOX.iterdir():
        path.rename(app.QUEUE / "messages" / path.name)
    try:
        return answer.get(timeout=30)
    except Exception as error:
        return repr(error)


for words in sys.argv[1:]:
    name, *args = words.split(":")
    print(name, ask(name, *args))
