#!/usr/bin/env python3
"""wal_to_disk.py WALWIRE - what it costs to receive WAL and to write it down.

`walwire receive` and pg_receivewal take turns on one PostgreSQL 15: each begins at the same place
with an empty directory in memory and ends where the WAL does. Counted is the processor time of the
client. Where there is no such server or no pg_receivewal the program skips (77).
"""
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, 'support'), os.path.join(HERE, '..', 'tests', 'live')]

import figures
from support import archive, cluster, installed, walwire

MAJOR = 15
MEGABYTES = 384
ROUNDS = 9


def server():
    for each in installed.everything():
        if each.major == MAJOR and each.program('pg_receivewal'):
            return each
    print('SKIPPED: there is no PostgreSQL %d with pg_receivewal.' % MAJOR)
    sys.exit(77)


class Source:
    """A primary with WAL to give away, and a slot for each who comes, so that all get the same."""

    def __init__(self, installation):
        settings = {'max_replication_slots': '100', 'max_wal_size': '8GB'}
        self.cluster = cluster.Cluster(installation, settings, segment_megabytes=16).start()
        self.cluster.sql("SELECT pg_create_physical_replication_slot('first', true)")
        begin = self.cluster.flushed()
        self.cluster.grow(MEGABYTES)
        self.end = self.cluster.flushed()
        self.gibibytes = (self.end - begin) / (1 << 30)
        self.slots = 0
        self.whole = None

    def slot(self):
        self.slots += 1
        name = 'slot_%d' % self.slots
        self.cluster.sql("SELECT pg_copy_physical_replication_slot('first', '%s')" % name)
        return name

    def receive(self, *words):
        """Processor seconds and seconds, for each GiB, of a program that keeps all of the WAL."""
        directory = cluster.directory('received')
        words = [*words, '-d', self.cluster.conninfo(), '-D', directory, '-S', self.slot()]
        words += ['-E', cluster.format_lsn(self.end), '-n']
        since = time.monotonic()
        process = cluster.start_process(words, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        passed = time.monotonic() - since
        process.returncode = os.waitstatus_to_exitcode(status)
        whole = archive.whole(directory)
        shutil.rmtree(directory)
        self.whole = self.whole or whole
        if process.returncode != 0 or not whole or whole != self.whole:
            sys.exit('the benchmark is wrong: %s: %d, %s' % (words, process.returncode, whole))
        return (used.ru_utime + used.ru_stime) / self.gibibytes, passed / self.gibibytes


def main():
    installation = server()
    os.environ['WALWIRE_PROGRAM'] = sys.argv[1]
    source = Source(installation)
    contestants = {
        'walwire': lambda: source.receive(walwire.program(), 'receive'),
        'pg_receivewal': lambda: source.receive(installation.program('pg_receivewal')),
    }
    found = figures.alternate(contestants, ROUNDS)
    used = {name: [each[0] for each in runs] for name, runs in found.items()}
    print('%d MiB of WAL into files in memory: client\'s processor s/GiB, and GiB/s' % MEGABYTES)
    for name, runs in found.items():
        speed = 1 / statistics.median(each[1] for each in runs)
        print('    %-36s %8.3f %12.2f' % (name, statistics.median(used[name]), speed))
    figures.line('walwire', statistics.median(used['walwire']), 0.35)
    ratio = figures.median_ratio(used['walwire'], used['pg_receivewal'])
    figures.line('walwire / pg_receivewal', ratio, 0.35 / 0.561)


if __name__ == '__main__':
    main()
