import subprocess


def status():
    return subprocess.run(["cat", "/proc/self/status"], capture_output=True).stdout


with executor(1) as ex:
    lines = dict(
        l.split(b":")
        for l in ex.submit(status).result().splitlines()
        if l[:3] == b"Sig"
    )
deaf = int(lines[b"SigIgn"], 16) >> (signal.SIGINT - 1) & 1
print(deaf, int(lines[b"SigBlk"], 16))
