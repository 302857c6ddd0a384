#!/usr/bin/env python3
"""base_backup.py WALWIRE - what it costs to take a base backup.

`walwire backup` and pg_basebackup take turns on one PostgreSQL 15, into memory, without WAL: as one
tar, and as plain files, with the manifest that the server sends by default. walwire looks into the
archive and verifies every file against the manifest while it comes, which pg_basebackup leaves to
another program; pg_verifybackup's time is therefore shown as well. Counted is the processor time of
the client, and the most memory that it held; a cluster three times as large shows what of that
depends on the size. Where there is no such server or no pg_basebackup the program skips (77).
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
from support import cluster, installed, walwire

MAJOR = 15
MEGABYTES = 384
ROUNDS = 7


def server():
    for each in installed.everything():
        if each.major == MAJOR and each.program('pg_basebackup'):
            return each
    print('SKIPPED: there is no PostgreSQL %d with pg_basebackup.' % MAJOR)
    sys.exit(77)


def used_by(words):
    """Processor seconds, seconds, and the most memory in MiB of one run."""
    since = time.monotonic()
    process = cluster.start_process(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    passed = time.monotonic() - since
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit('the benchmark is wrong: %s: %d' % (words, process.returncode))
    return used.ru_utime + used.ru_stime, passed, used.ru_maxrss / 1024


class Source:
    def __init__(self, installation):
        self.installation = installation
        self.cluster = cluster.Cluster(installation, segment_megabytes=16).start()
        self.gibibytes = 0  # of the last backup
        self.tables = 0

    def grow(self, megabytes):
        self.tables += 1
        self.cluster.sql(
            'CREATE TABLE t%d AS SELECT i, repeat(md5(i::text), 30) AS v'
            ' FROM generate_series(1, %d) i' % (self.tables, megabytes * 1024),
            'CHECKPOINT',
        )

    def take(self, *words):
        """Processor seconds and seconds for each GiB, and MiB of memory."""
        directory = os.path.join(cluster.directory('taken'), 'backup')
        words = [
            *words,
            '-d',
            self.cluster.conninfo(),
            '-D',
            directory,
            '-X',
            'none',
            '-c',
            'fast',
        ]
        used, passed, memory = used_by(words)
        size = sum(
            os.path.getsize(os.path.join(path, name))
            for path, _, names in os.walk(directory)
            for name in names
        )
        self.gibibytes = size / (1 << 30)
        shutil.rmtree(directory)
        return used / self.gibibytes, passed / self.gibibytes, memory

    def verify(self):
        """pg_verifybackup's processor seconds for each GiB of a plain backup."""
        directory = os.path.join(cluster.directory('taken'), 'backup')
        program = self.installation.program
        words = ['-d', self.cluster.conninfo(), '-D', directory, '-X', 'none', '-c', 'fast']
        cluster.run_process([program('pg_basebackup'), *words])
        used, _, _ = used_by([program('pg_verifybackup'), '-n', directory])
        shutil.rmtree(directory)
        return used / self.gibibytes


def main():
    installation = server()
    os.environ['WALWIRE_PROGRAM'] = sys.argv[1]
    source = Source(installation)
    source.grow(MEGABYTES)
    ours = [walwire.program(), 'backup']
    theirs = [installation.program('pg_basebackup'), '--no-sync']
    contestants = {
        'walwire, tar': lambda: source.take(*ours, '-F', 'tar'),
        'pg_basebackup, tar': lambda: source.take(*theirs, '-F', 'tar'),
        'walwire, plain': lambda: source.take(*ours, '-F', 'plain'),
        'pg_basebackup, plain': lambda: source.take(*theirs, '-F', 'plain'),
    }
    found = figures.alternate(contestants, ROUNDS)
    used = {name: [each[0] for each in runs] for name, runs in found.items()}
    print("%.2f GiB into memory: client's processor s/GiB, s/GiB" % source.gibibytes)
    for name, runs in found.items():
        passed = statistics.median(each[1] for each in runs)
        print('    %-36s %8.3f %12.3f' % (name, statistics.median(used[name]), passed))
    print('    %-36s %8.3f' % ('pg_verifybackup', source.verify()))
    for kind, target in (('tar', 0.29 / 0.351), ('plain', 1.0)):
        ratio = figures.median_ratio(used['walwire, ' + kind], used['pg_basebackup, ' + kind])
        figures.line('walwire / pg_basebackup, ' + kind, ratio, target)
    small = source.gibibytes
    source.grow(2 * MEGABYTES)
    larger = {name: take()[2] for name, take in contestants.items() if 'walwire' in name}
    sizes = (small, source.gibibytes)
    print('memory in MiB, of a cluster of %.2f GiB, and of one of %.2f GiB' % sizes)
    for name, memory in larger.items():
        print('    %-36s %8.1f %12.1f' % (name, max(each[2] for each in found[name]), memory))


if __name__ == '__main__':
    main()
