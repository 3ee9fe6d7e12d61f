from parallelize.process.parent.dispatcher import Dispatcher

hear = Dispatcher._on_wakeup


def late(self, mask):
    time.sleep(0.1)
    hear(self, mask)


Dispatcher._on_wakeup = late

with executor(1) as ex:
    victims = [ex.submit(os._exit, i) for i in range(4)]
    innocents = [ex.submit(abs, -i) for i in range(5)]
    print({outcome(f).split(":")[0] for f in victims})
    print([outcome(f) for f in innocents])
