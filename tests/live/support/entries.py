"""A log of AionDB's entries, written as a primary writes it, and a network that breaks.

The log's format is written down a second time here: tag, size, first and last entry, little-endian,
then the entries.
"""
import os
import random
import socket
import struct
import threading

from support.listening import Listening

HEAD = struct.Struct('<BIQQ')


def batch(first, last, entries):
    return HEAD.pack(1, 16 + len(entries), first, last) + entries


def batches(data):
    """Those of a log: (first, last, entries), and how many bytes they are."""
    found = []
    at = 0
    while at + HEAD.size <= len(data):
        tag, size, first, last = HEAD.unpack_from(data, at)
        if tag != 1 or at + 5 + size > len(data):
            break
        found.append((first, last, data[at + HEAD.size : at + 5 + size]))
        at += 5 + size
    return found, at


class Primary:
    """A directory that grows as AionDB's log does."""

    def __init__(self, directory, system=7_400_000_000_000_000_001, seed=1):
        self.directory = directory
        self.random = random.Random(seed)
        self.last = 0
        self.timeline = 1
        self.put('system_id', '%d\n' % system)
        self.put('timeline', '1\n')
        self.add(b'')

    def path(self, name):
        return os.path.join(self.directory, name)

    def put(self, name, text):
        with open(self.path(name + '.tmp'), 'w') as file:
            file.write(text)
        os.rename(self.path(name + '.tmp'), self.path(name))
        os.chmod(self.path(name), 0o644)

    def add(self, data):
        with open(self.path('log'), 'ab') as file:
            file.write(data)
        os.chmod(self.path('log'), 0o644)

    def grow(self, count, largest=20000):
        """So many batches more, of one entry or of many."""
        for _ in range(count):
            last = self.last + self.random.choice((1, 1, 2, 7, 1000))
            size = self.random.randrange(1, largest)
            self.add(batch(self.last + 1, last, self.random.randbytes(size)))
            self.last = last

    def promote(self):
        at = '%X/%08X' % (self.last >> 32, self.last & 0xFFFFFFFF)
        before = ''
        if self.timeline > 1:
            with open(self.path('%08X.history' % self.timeline)) as file:
                before = file.read()
        self.timeline += 1
        name = '%08X.history' % self.timeline
        self.put(name, '%s%d\t%s\tpromoted\n' % (before, self.timeline - 1, at))
        self.put('timeline', '%d\n' % self.timeline)

    def content(self):
        return read(self.path('log'))


def read(path):
    with open(path, 'rb') as file:
        return file.read()


class Cutter(Listening):
    """Passes connections on to a port, and cuts each that it is told to after some bytes, or
    does something else then and goes on."""

    def __init__(self, port):
        self.target = port
        self.cuts = []  # bytes from the server until each next connection is cut
        self.instead = None  # called in place of the first cut
        self.made = 0
        super().__init__()

    def heard(self, client):
        self.made += 1
        allowed = self.cuts.pop(0) if self.cuts else None
        server = socket.create_connection(('127.0.0.1', self.target))
        threading.Thread(target=self.carry, args=(client, server, None), daemon=True).start()
        threading.Thread(target=self.carry, args=(server, client, allowed), daemon=True).start()

    def carry(self, source, target, allowed):
        try:
            while allowed is None or allowed > 0 or self.instead:
                if allowed == 0:
                    instead, self.instead, allowed = self.instead, None, None
                    instead()
                data = source.recv(65536 if allowed is None else min(allowed, 65536))
                if not data:
                    break
                target.sendall(data)
                if allowed is not None:
                    allowed -= len(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
