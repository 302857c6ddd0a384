#!/usr/bin/env python3
"""serve_wal.py WALWIRE - what it costs a server to send WAL.

PostgreSQL 15's walsender and `walwire serve` take turns with the same WAL and the same client, who
reads it and throws it away. Counted is the processor time of the one who sends. Where there is no
such server the program skips (77).
"""
import os
import socket
import statistics
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, 'support'), os.path.join(HERE, '..', 'tests', 'live')]

import figures
from support import cluster, installed, relay, walwire

MAJOR = 15
MEGABYTES = 384
ROUNDS = 9
READ_SIZE = 1 << 20


def server():
    for each in installed.everything():
        if each.major == MAJOR:
            return each
    print('SKIPPED: there is no PostgreSQL %d.' % MAJOR)
    sys.exit(77)


def processor_seconds(pid):
    with open('/proc/%d/schedstat' % pid) as file:
        return int(file.read().split()[0]) / 1e9


class Client:
    """Trusted in, it asks for WAL and reads it; what it reads it does not look at."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port))
        words = b'user\0postgres\0replication\0true\0application_name\0bench\0\0'
        self.socket.sendall(struct.pack('!ii', 8 + len(words), 3 << 16) + words)
        self.wait_for(b'Z\0\0\0\5I')

    def wait_for(self, end):
        seen = b''
        while not seen.endswith(end):
            got = self.socket.recv(READ_SIZE)
            if not got:
                sys.exit('the benchmark is wrong: the server said %r' % seen)
            seen += got

    def read(self, begin, end):
        command = b'START_REPLICATION %s\0' % cluster.format_lsn(begin).encode()
        self.socket.sendall(b'Q' + struct.pack('!i', 4 + len(command)) + command)
        room = bytearray(READ_SIZE)
        left = end - begin
        while left > 0:
            got = self.socket.recv_into(room)
            if got == 0:
                sys.exit('the benchmark is wrong: the server hung up')
            left -= got


class Source:
    def __init__(self, installation):
        settings = {'max_wal_size': '8GB', 'wal_keep_size': '8GB'}
        self.cluster = cluster.Cluster(installation, settings, segment_megabytes=16).start()
        self.cluster.sql("SELECT pg_create_physical_replication_slot('bench', true)")
        begin = self.cluster.flushed()
        self.cluster.grow(MEGABYTES)
        self.begin = begin - begin % self.cluster.segment_size
        end = self.cluster.flushed()
        self.end = end - end % self.cluster.segment_size
        self.gibibytes = (self.end - self.begin) / (1 << 30)
        self.directory = cluster.directory('served')
        received = walwire.run(
            'receive',
            '-d',
            self.cluster.conninfo(),
            '-D',
            self.directory,
            '-n',
            '-E',
            cluster.format_lsn(self.end),
            '-S',
            'bench',
        )
        if received.process.returncode != 0:
            sys.exit('the benchmark is wrong: ' + received.said)
        self.relay = relay.Serve(self.directory)
        self.relay.wait_for_end(self.end)

    def walsender(self):
        client = Client(self.cluster.port)
        client.read(self.begin, self.end)
        sender = int(self.cluster.sql('SELECT pid FROM pg_stat_replication'))
        return processor_seconds(sender) / self.gibibytes

    def walwire(self):
        before = processor_seconds(self.relay.process.pid)
        Client(self.relay.port).read(self.begin, self.end)
        return (processor_seconds(self.relay.process.pid) - before) / self.gibibytes


def main():
    installation = server()
    os.environ['WALWIRE_PROGRAM'] = sys.argv[1]
    source = Source(installation)
    contestants = {'walwire serve': source.walwire, 'walsender': source.walsender}
    found = figures.alternate(contestants, ROUNDS)
    size = (source.end - source.begin) >> 20
    print("%d MiB of WAL over TCP: server's processor s/GiB" % size)
    for name, used in found.items():
        print('    %-36s %8.3f' % (name, statistics.median(used)))
    ratio = figures.median_ratio(found['walwire serve'], found['walsender'])
    figures.line('walwire serve / walsender', ratio, 0.6)


if __name__ == '__main__':
    main()
