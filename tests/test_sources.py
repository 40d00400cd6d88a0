"""What the runner reads of a notebook when two threads read at once."""

import subprocess
import sys

from paper_utils.files import ROOT

# Garbage whose end takes a moment, collected often: each collection inside a parse lets another thread in.
MANY = """
import gc, pathlib, sys, threading, time
from paper_utils import sources

class Garbage:
    def __init__(self):
        self.me = self
    def __del__(self):
        time.sleep(0)

def read():
    for _ in range(40):
        Garbage()
        try:
            assert sources.imported_modules(text) and sources.parameters(notebook)["MODE"] == "full"
        except SystemError as error:
            failed.append(error)

sys.setswitchinterval(1e-6)
path = sources.notebooks()[0]
text, notebook, failed = pathlib.Path(sources.__file__).read_text(), sources.read(path), []
gc.set_threshold(20)
threads = [threading.Thread(target=read) for _ in range(3)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
sys.exit(len(failed))
"""


def test_threads_do_not_meet_inside_the_parser():
    """On CPython 3.11 they would: "AST constructor recursion depth mismatch", in about one parse of ten here."""
    done = subprocess.run([sys.executable, "-c", MANY], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or f"{done.returncode} of 120 readings failed"
