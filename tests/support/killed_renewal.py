"""Renews a data set and is killed at a moment, by a real signal: "write", "before" or "behind" the exchange.

    python -m tests.support.killed_renewal FOLDER OUT MOMENT...

Each run is a fork of this process, which has imported everything. After each one a line is printed: minus the signal
that ended it, and digests of the data set's files.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from data_pipeline.prepare import builder, pipeline  # noqa: F401
from tests.support import music
from tests.support.prepared import contents


def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def renew(corpus, out, moment):
    exchange = pipeline.exchange
    if moment == "before":
        pipeline.exchange = killed
    if moment == "behind":
        pipeline.exchange = lambda *folders: (exchange(*folders), killed())

    def progress(stage, done, total):
        if stage == moment and done:
            killed()

    pipeline.prepare(corpus, out, music.OPTIONS, progress=progress)


if __name__ == "__main__":
    out = Path(sys.argv[2])
    corpus = music.corpus(Path(sys.argv[1]), 70, write=False)
    for moment in sys.argv[3:]:
        child = os.fork()
        if not child:
            renew(corpus, out, moment)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = {name: hashlib.sha256(content).hexdigest() for name, content in contents(out).items()}
        print(json.dumps([os.waitstatus_to_exitcode(status), found]), flush=True)
