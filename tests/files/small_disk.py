"""A disk that takes no file of more than so many bytes: for whoever writes more, it is full."""

import resource
from contextlib import contextmanager


@contextmanager
def small_disk(room):
    """This process writes no file beyond `room` bytes; the system refuses the rest of a larger one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
