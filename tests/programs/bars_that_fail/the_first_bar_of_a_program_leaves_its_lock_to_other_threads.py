import io, threading


class Broken:
    encoding = "utf-8"

    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        pass


stderr, sys.stderr = sys.stderr, STREAM
try:
    print(summed())
except KeyboardInterrupt:
    print("interrupted")
sys.stderr = stderr
other = threading.Thread(target=lambda: print(summed()), daemon=True)
other.start()
other.join(20)
