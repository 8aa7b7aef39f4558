"""Real servers that misbehave, for tests: each connection is handed to a script, byte by byte."""

import socket
import threading
from contextlib import contextmanager, suppress

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"said": 1}'


@contextmanager
def speaking(script):
    """A server that has script(connection, number, over) speak on its n-th connection, in a thread each.

    Yields its address. `over` is an event that is set when nobody wants to hear more.
    """
    over, open_ones, threads = threading.Event(), [], []
    listening = socket.create_server(("127.0.0.1", 0))

    def accept():
        number = 0
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            number += 1
            open_ones.append(connection)
            threads.append(threading.Thread(target=speak, args=(connection, number), daemon=True))
            threads[-1].start()

    def speak(connection, number):
        with suppress(OSError):
            script(connection, number, over)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def hear(connection):
    """One request, headers and body; empty if the caller has left."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        more = connection.recv(65536)
        if not more:
            return b""
        heard += more
    head, _, body = heard.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def silent(connection, number, over):
    """Hears and says nothing until the caller hangs up."""
    while connection.recv(65536):
        pass
