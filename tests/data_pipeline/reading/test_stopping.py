"""Whoever stops taking batches is not held up by the reads that are under way."""

import subprocess
import sys
from pathlib import Path

STOPS = """
import sys, threading
from data_pipeline.reading.prepared_data import PreparedData

data = PreparedData(sys.argv[1])
others, ended = threading.Event(), threading.Event()
read, reads = PreparedData._read, []

def slowly(self, source, index, length=None):
    reads.append(index)
    if len(reads) > 1:  # the first batch comes at once
        others.set()
        ended.wait()
    return read(self, source, index, length)

PreparedData._read = slowly
batches = data.train_batches(batch_size=2, seed=0, start_step=0, num_steps=1000)
next(batches)
others.wait()
threading.Timer(0.5, ended.set).start()  # while the iterator goes
batches.close()
print(len(reads) < 30)
"""


def test_batches_are_left_while_others_are_read(data: Path):
    command = [sys.executable, "-c", STOPS, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
