"""A plan of faults: what goes wrong is decided by a seed and by what is asked, never by time or order."""

import hashlib
import json
import os
import time
from pathlib import Path


class Plan:
    """Which requests fail, hang, or are answered late; what was done is written down, a line each."""

    def __init__(self, seed, log, **shares):
        """`shares` are those of all requests for each kind of fault; together at most 1."""
        self.seed, self.log, self.shares = seed, Path(log), shares

    def strike(self, where, *key):
        """The kind of fault that this request meets, None if it meets none."""
        digest = hashlib.blake2b(repr((self.seed, where, key)).encode(), digest_size=8).digest()
        drawn = int.from_bytes(digest, "big") / 2**64
        for kind, share in self.shares.items():
            if drawn < share:
                self._note(where, kind, key)
                return kind
            drawn -= share
        return None

    def _note(self, where, kind, key):
        """One write of one line: other threads and processes write to the same file."""
        line = json.dumps({"where": where, "kind": kind, "key": list(key)}) + "\n"
        file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)


def injected(log):
    """What a plan has done."""
    lines = Path(log).read_text().splitlines() if Path(log).exists() else []
    return [json.loads(line) for line in lines]


def dawdle():
    """As late as a busy machine is."""
    time.sleep(0.05)
