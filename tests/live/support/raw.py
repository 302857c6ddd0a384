"""A client of a few lines, which says whatever a test wants and reads when the test wants."""
import socket
import struct

from support import cluster

PROTOCOL = 0x30000
CANCEL = 80877102


def packet(code, rest=b''):
    return struct.pack('>II', len(rest) + 8, code) + rest


def message(tag, body=b''):
    return tag + struct.pack('>I', len(body) + 4) + body


def fields(body):
    """Of an ErrorResponse: its letters and their texts."""
    return {each[:1].decode(): each[1:].decode() for each in body.split(b'\0') if each}


def connect(port, receive_buffer=None):
    made = socket.socket()
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(cluster.PATIENCE)
    made.connect(('127.0.0.1', port))
    return made


class Raw:
    """A connection that has sent its start-up packet."""

    def __init__(self, port, user='replica', options=0, receive_buffer=None):
        self.port = port
        self.socket = connect(port, receive_buffer)
        pairs = [b'user', user.encode(), b'replication', b'true'] + [b'_pq_.', b''] * options
        self.socket.sendall(packet(PROTOCOL, b''.join(each + b'\0' for each in pairs) + b'\0'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, tag, body=b''):
        self.socket.sendall(message(tag, body))

    def query(self, text):
        self.send(b'Q', text.encode() + b'\0')

    def _exactly(self, size):
        got = b''
        while len(got) < size:
            part = self.socket.recv(size - len(got))
            if not part:
                raise AssertionError('the server hung up')
            got += part
        return got

    def read(self):
        """The next message: its type and its body."""
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack('>I', head[1:])[0] - 4)

    def until(self, *tags):
        """All messages up to the first of one of these types, which is the last."""
        got = [self.read()]
        while got[-1][0] not in tags:
            got.append(self.read())
        return got

    def login(self):
        """Where nothing is asked for; keeps the key."""
        self.key = dict(self.until(b'Z'))[b'K']
        return self

    def cancel(self):
        """Asks over another connection that what runs here be cancelled, and waits until that was
        read."""
        with connect(self.port) as other:
            other.sendall(packet(CANCEL, self.key))
            other.recv(1)
