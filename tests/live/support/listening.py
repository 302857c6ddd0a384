"""A port for the servers of a few lines that tests make up."""
import socket
import struct
import threading


class Listening:
    """A port of 127.0.0.1 on which each connection is dealt with by `heard`, one behind the other,
    until it is closed. Who inherits from it is ready for them before it calls __init__."""

    def __init__(self):
        self.listening = socket.create_server(('127.0.0.1', 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listening.close()

    def accept(self):
        while True:
            try:
                line, _ = self.listening.accept()
            except OSError:
                return
            try:
                self.heard(line)
            except (OSError, EOFError, struct.error):
                line.close()  # the other end left in the middle
