#!/usr/bin/env python3
"""AionDB's dialect, with walwire at both ends.

The test writes a log as a primary does; `walwire serve` serves it, `walwire receive` keeps it and
`walwire backup` copies it, over a network that breaks. In the end every file is the same.
"""
import os
import random
import socket
import struct

from support import cluster, entries, live, raw, relay, walwire
from support.listening import Listening


class Dialect(live.Live):
    """What the tests have in common."""

    def begin(self, count=200, *options, **more):
        self.primary = entries.Primary(cluster.directory('primary'), **more)
        os.chmod(self.primary.directory, 0o755)
        self.primary.grow(count)
        self.serve = self.start(self.primary, *options)

    def start(self, primary, *options, port=0):
        made = relay.Serve(primary.directory, '--dialect', 'aiondb', *options, port=port)
        self.addCleanup(made.__exit__)
        return made

    def receive(self, directory, *options, source=None):
        conninfo = (source or self.serve).conninfo()
        run = walwire.receive(conninfo, directory, '--dialect', 'aiondb', '-s', 1, *options)
        self.addCleanup(run.__exit__)
        return run

    def wait_for_all(self, directory, *runs):
        wanted = self.primary.content()

        def same():
            for run in runs:
                self.assertIsNone(run.process.poll(), run.said)
            path = os.path.join(directory, 'log')
            return os.path.exists(path) and os.path.getsize(path) >= len(wanted)

        try:
            cluster.wait_until(same, 'all entries')
        except AssertionError as late:
            said = '\n'.join(each.said for each in (*runs, self.serve))
            raise AssertionError('%s\n%s' % (late, said)) from None

    def assert_same(self, directory):
        names = sorted(os.listdir(self.primary.directory))
        self.assertEqual(sorted(os.listdir(directory)), names)
        for name in names:
            ours = entries.read(os.path.join(directory, name))
            self.assertTrue(ours == entries.read(self.primary.path(name)), name)


class Follow(Dialect):
    def test_follow(self):
        """A log, also as it grows; the receiver has it durable when it is stopped."""
        self.begin(50)
        directory = self.directory()
        run = self.receive(directory)
        self.wait_for_all(directory, run)
        self.primary.grow(50)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assert_same(directory)

    def test_empty(self):
        """There is nothing yet."""
        self.begin(0)
        directory = self.directory()
        run = self.receive(directory)
        run.wait_for('following from 0/00000001')
        self.primary.grow(3)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assert_same(directory)

    def test_cut(self):
        """Connections that break anywhere cost nothing."""
        self.begin(300)
        cutter = entries.Cutter(self.serve.port)
        self.addCleanup(cutter.close)
        chance = random.Random(7)
        cutter.cuts = [chance.randrange(1, 1_000_000) for _ in range(5)]
        directory = self.directory()
        conninfo = self.serve.conninfo(port=cutter.port)
        run = walwire.receive(conninfo, directory, '--dialect', 'aiondb', '-s', 1)
        self.addCleanup(run.__exit__)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assertGreater(cutter.made, 2)
        self.assert_same(directory)

    def test_killed(self):
        """A receiver that is killed, whatever it leaves, is gone on with."""
        self.begin(100, seed=3)
        directory = self.directory()
        log = os.path.join(directory, 'log')
        for torn in (b'', b'\1', entries.batch(9999999, 9999999, b'x' * 100)[:50], b'\0' * 500):
            run = self.receive(directory)
            before = os.path.getsize(log) if os.path.exists(log) else 0
            self.primary.grow(20)
            cluster.wait_until(
                lambda: os.path.exists(log) and os.path.getsize(log) > before, 'entries'
            )
            run.kill()
            with open(log, 'ab') as file:
                file.write(torn)
        run = self.receive(directory)
        run.wait_for('cut a torn batch')
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assert_same(directory)

    def test_server_killed(self):
        """A server that is killed, or shut down, is come back to."""
        self.begin(50)
        port = self.serve.port
        directory = self.directory()
        run = self.receive(directory)
        self.wait_for_all(directory, run)
        self.serve.kill()
        self.primary.grow(20)
        self.serve = self.start(self.primary, port=port)
        self.wait_for_all(directory, run)
        self.assertEqual(self.serve.stop(), 0, self.serve.said)
        self.primary.grow(20)
        self.serve = self.start(self.primary, port=port)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assert_same(directory)

    def test_shut_down_idle(self):
        """A server goes although its replica was sent nothing on this stream."""
        self.begin(5)
        directory = self.directory()
        run = self.receive(directory)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        run = self.receive(directory)
        run.wait_for('following from')
        self.assertEqual(self.serve.stop(), 0, self.serve.said)

    def test_promotion(self):
        """A new timeline is adopted, by a replica that is connected and by one that comes later."""
        self.begin(50)
        there = self.directory()
        late = self.directory()
        run = self.receive(there)
        self.wait_for_all(there, run)
        other = self.receive(late, '-E', self.primary.last)
        self.assertEqual(other.wait(), 0, other.said)
        for _ in range(2):
            self.primary.promote()
            run.wait_for('on timeline %d' % self.primary.timeline)
            self.primary.grow(30)
            self.wait_for_all(there, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assert_same(there)
        other = self.receive(late)
        self.wait_for_all(late, other)
        self.assertEqual(other.stop(), 0, other.said)
        for name in ('log', 'timeline', '00000003.history'):
            path = os.path.join(late, name)
            self.assertTrue(entries.read(path) == entries.read(self.primary.path(name)), name)

    def test_diverged(self):
        """A log that runs past the fork is given up, and stays as it is."""
        self.begin(30)
        directory = self.directory()
        run = self.receive(directory)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        kept = entries.read(os.path.join(directory, 'log'))
        fork = entries.Primary(cluster.directory('fork'))
        os.chmod(fork.directory, 0o755)
        fork.grow(10)
        fork.promote()
        fork.grow(40)
        other = self.start(fork)
        run = self.receive(directory, source=other)
        self.assertEqual(run.wait(), 1, run.said)
        self.assertIn('timeline', run.said)
        self.assertEqual(entries.read(os.path.join(directory, 'log')), kept)
        self.assertEqual(entries.read(os.path.join(directory, 'timeline')), b'1\n')

    def test_stranger(self):
        """Another system is refused: at once with -n, and else until the right one is back."""
        self.begin(30)
        directory = self.directory()
        run = self.receive(directory, '-E', self.primary.last)
        self.assertEqual(run.wait(), 0, run.said)
        stranger = entries.Primary(cluster.directory('stranger'), system=42)
        os.chmod(stranger.directory, 0o755)
        stranger.grow(30)
        other = self.start(stranger)
        run = self.receive(directory, '-n', source=other)
        self.assertEqual(run.wait(), 1)
        run = self.receive(directory, source=other)
        run.wait_for('trying again')
        port = other.port
        self.assertEqual(other.stop(), 0, other.said)
        self.start(self.primary, port=port)
        self.primary.grow(10)
        self.wait_for_all(directory, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assert_same(directory)

    def test_endpos(self):
        """It stops behind the batch that holds the entry."""
        self.begin(100)
        found, _ = entries.batches(self.primary.content())
        first, last, _ = found[40]
        directory = self.directory()
        run = self.receive(directory, '-E', (first + last) // 2, '--synchronous')
        self.assertEqual(run.wait(), 0, run.said)
        ours, _ = entries.batches(entries.read(os.path.join(directory, 'log')))
        self.assertGreaterEqual(len(ours), 41)
        self.assertEqual(ours, found[: len(ours)])

    def test_slot(self):
        """A slot moves with what is durable, and outlives the server."""
        slots = os.path.join(self.directory(), 'slots')
        self.begin(30, '--slots', slots)
        directory = self.directory()
        figures = os.path.join(self.directory(), 'figures')
        options = ('-S', 'standby', '--metrics', figures)
        run = self.receive(directory, '--create-slot', '--if-not-exists', *options)
        self.wait_for_all(directory, run)
        at = '0/%08X' % self.primary.last

        def moved():
            return at in ask(self.serve.port, 'READ_REPLICATION_SLOT standby')

        cluster.wait_until(moved, 'the slot to move to ' + at)
        text = '\naiondb_replica_wal_receiver_flush_lsn %d\n' % self.primary.last
        cluster.wait_until(lambda: text in entries.read(figures).decode(), 'the figures')
        self.assertEqual(run.stop(), 0, run.said)
        port = self.serve.port
        self.assertEqual(self.serve.stop(), 0, self.serve.said)
        self.serve = self.start(self.primary, '--slots', slots, port=port)
        self.assertTrue(moved())

    def test_relay(self):
        """What a receiver keeps is served on while it is kept."""
        self.begin(100)
        middle, last = self.directory(), self.directory()
        run = self.receive(middle)
        self.wait_for_all(middle, run)
        second = relay.Serve(middle, '--dialect', 'aiondb')
        self.addCleanup(second.__exit__)
        end = self.receive(last, source=second)
        self.wait_for_all(last, end)
        self.primary.promote()
        run.wait_for('on timeline 2')
        self.primary.grow(50)
        self.wait_for_all(last, run, end)
        for each in (end, run, second):
            self.assertEqual(each.stop(), 0, each.said)
        self.assert_same(middle)
        self.assert_same(last)

    def test_overlap(self):
        """Another primary makes other batches: the last entry comes twice, and can be served on."""
        self.begin(0)
        body = {n: bytes([n]) * (10 + n) for n in range(1, 12)}

        def make(first, last):
            return entries.batch(first, last, b''.join(body[n] for n in range(first, last + 1)))

        self.primary.add(make(1, 4) + make(4, 7) + make(8, 8) + make(8, 9) + make(9, 9)[:20])
        directory = self.directory()
        run = self.receive(directory, '-E', 9)
        self.assertEqual(run.wait(), 0, run.said)
        got = entries.read(os.path.join(directory, 'log'))
        self.assertEqual(got, make(1, 4) + make(4, 7) + make(8, 9))

    def test_scripted(self):
        """A primary that begins with the entry that was asked for: no entry is missing, and none
        counts twice; the log that comes of it can be served on."""
        chance = random.Random(11)
        bodies = [chance.randbytes(chance.randrange(30, 300)) for _ in range(400)]
        source = Scripted(bodies, 5)
        self.addCleanup(source.listening.close)
        directory = self.directory()
        log = os.path.join(directory, 'log')
        for _ in range(60):
            run = self.receive(directory, '-n', '-E', len(bodies), source=source)
            if run.wait() == 0:
                break
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertGreater(len(source.asked), 5)
        kept, size = entries.batches(entries.read(log))
        self.assertEqual(size, os.path.getsize(log))
        last = 0
        overlaps = 0
        for first, until, data in kept:
            self.assertIn(first, (last, last + 1) if last else (1,))
            overlaps += first == last
            self.assertEqual(data, b''.join(bodies[first - 1 : until]))
            last = until
        self.assertEqual(last, len(bodies))
        self.assertGreater(overlaps, 1)
        served = relay.Serve(directory, '--dialect', 'aiondb')
        self.addCleanup(served.__exit__)
        copy = self.directory()
        for _ in range(60):
            run = self.receive(copy, '-n', '-E', len(bodies), source=served)
            if run.wait() == 0:
                break
        self.assertEqual(run.process.returncode, 0, run.said)
        told = 0
        for first, until, data in entries.batches(entries.read(os.path.join(copy, 'log')))[0]:
            self.assertIn(first, (told, told + 1) if told else (1,))
            self.assertEqual(data, b''.join(bodies[first - 1 : until]))
            told = until
        self.assertEqual(told, len(bodies))

    def test_text_identity(self):
        """A system's identifier is a text, and is told as it is, by the header of a backup too."""
        self.primary = entries.Primary(cluster.directory('primary'))
        os.chmod(self.primary.directory, 0o755)
        self.primary.put('system_id', 'cluster-a\n')
        self.primary.grow(30)
        self.serve = self.start(self.primary)
        self.assertIn('cluster-a', ask(self.serve.port, 'IDENTIFY_SYSTEM'))
        self.assertIn('cluster-a', ask(self.serve.port, 'BASE_BACKUP'))
        directory = self.directory()
        for _ in range(2):
            run = self.receive(directory, '-E', self.primary.last)
            self.assertEqual(run.wait(), 0, run.said)
            self.primary.grow(10)
        self.serve.stop()
        self.primary.put('system_id', 'cluster-b\n')
        run = self.receive(directory, '-n', source=self.start(self.primary))
        self.assertEqual(run.wait(), 1)

    def test_crowded(self):
        """max_wal_senders is 10, and the next one is told so."""
        self.begin(5)
        lines = []
        for _ in range(10):
            line = socket.create_connection(('127.0.0.1', self.serve.port), cluster.PATIENCE)
            self.addCleanup(line.close)
            words = b'user\0replica\0replication\0true\0\0'
            line.sendall(struct.pack('>II', 8 + len(words), 196608) + words)
            while not line.recv(4096).endswith(b'Z\0\0\0\5I'):
                pass
            lines.append(line)
        self.assertIn('max_wal_senders (currently 10)', ask(self.serve.port, 'IDENTIFY_SYSTEM'))
        lines[0].close()

        def free():
            return 'systemid' in ask(self.serve.port, 'IDENTIFY_SYSTEM')

        cluster.wait_until(free, 'a place')

    def test_login(self):
        """With a password, as in the other dialect."""
        secret = os.path.join(self.directory(), 'secret')
        with open(secret, 'w') as file:
            file.write('sesame\n')
        os.chmod(secret, 0o600)
        cluster.own(secret)
        self.begin(20, '--auth', 'scram-sha-256', '--user', 'replica', '--password-file', secret)
        directory = self.directory()
        for password, status in (('wrong', 1), ('sesame', 0)):
            run = walwire.receive(
                self.serve.conninfo(password=password),
                *(directory, '--dialect', 'aiondb', '-n', '-E', self.primary.last),
            )
            self.assertEqual(run.wait(), status, run.said)
        self.assert_same(directory)


def ask(port, command):
    """What a server answers to a command, as it comes."""
    with socket.create_connection(('127.0.0.1', port), cluster.PATIENCE) as line:
        words = b'user\0replica\0replication\0true\0\0'
        line.sendall(struct.pack('>II', 8 + len(words), 196608) + words)
        query = command.encode() + b'\0'
        line.sendall(b'Q' + struct.pack('>I', 4 + len(query)) + query)
        line.sendall(b'X' + struct.pack('>I', 4))
        said = b''
        while data := line.recv(65536):
            said += data
    return said.decode(errors='replace')


class Scripted(Listening):
    """A primary that makes batches of its entries as it likes, and hangs up when it likes: what it
    sends begins with the very entry that was asked for, as AionDB's own does."""

    def __init__(self, bodies, seed):
        self.bodies = bodies  # of entry 1, 2, ...
        self.random = random.Random(seed)
        self.asked = []
        super().__init__()

    def conninfo(self):
        return "host=127.0.0.1 port=%d user=replica sslmode=disable" % self.port

    def heard(self, line):
        with line:
            self.serve(line.makefile('rwb'))

    def serve(self, line):
        (size,) = struct.unpack('>I', line.read(4))
        line.read(size - 4)
        ready = raw.message(b'Z', b'I')
        line.write(raw.message(b'R', struct.pack('>I', 0)) + ready)
        while True:
            line.flush()
            kind = line.read(1)
            (size,) = struct.unpack('>I', line.read(4))
            words = line.read(size - 4).rstrip(b'\0').decode().split()
            if kind == b'X':
                return
            if words[0] == 'IDENTIFY_SYSTEM':
                end = '0/%08X' % len(self.bodies)
                values = [b'77', b'1', end.encode(), None]
                names = (b'systemid', b'timeline', b'xlogpos', b'dbname')
                column = b'\0' + struct.pack('>IHIhiH', 0, 0, 25, -1, -1, 0)
                row = b''.join(
                    struct.pack('>i', -1) if v is None else struct.pack('>i', len(v)) + v
                    for v in values
                )
                line.write(raw.message(b'T', b'\0\4' + b''.join(n + column for n in names)))
                line.write(
                    raw.message(b'D', b'\0\4' + row) + raw.message(b'C', b'IDENTIFY_SYSTEM\0')
                )
                line.write(ready)
            else:
                self.stream(line, int(words[words.index('TIMELINE') - 1].split('/')[1], 16))
                return

    def stream(self, line, first):
        self.asked.append(first)
        line.write(raw.message(b'W', b'\0\0\0'))
        for _ in range(self.random.randrange(1, 12)):
            if first > len(self.bodies):
                break
            last = min(first + self.random.choice((0, 0, 1, 5, 40)), len(self.bodies))
            body = entries.batch(first, last, b''.join(self.bodies[first - 1 : last]))
            line.write(raw.message(b'd', body))
            first = last + 1
        if first <= len(self.bodies):
            if self.random.random() < 0.5:  # in the middle of a message
                body = entries.batch(first, first, self.bodies[first - 1])
                line.write(raw.message(b'd', body)[: -self.random.randrange(1, 30)])
            line.flush()
            return
        line.flush()
        while line.read(1):  # until the replica leaves
            pass


class Backup(Dialect):
    def take(self, directory, *options, source=None):
        conninfo = (source or self.serve).conninfo()
        return walwire.run(
            'backup', '-d', conninfo, '-D', directory, '--dialect', 'aiondb', *options
        )

    def assert_backup(self, directory):
        self.assert_same(os.path.join(directory, 'wal'))
        for name in ('timeline', 'system_id'):
            text = entries.read(os.path.join(directory, 'replication', name))
            self.assertEqual(text, entries.read(self.primary.path(name)))

    def test_backup(self):
        """A copy of all files, which is then followed; a second run changes nothing."""
        self.begin(100)
        os.makedirs(self.primary.path('pages/deep'))
        for name, size in (('pages/1', 200_000), ('pages/deep/2', 0), ('pages/3', 1)):
            with open(self.primary.path(name), 'wb') as file:
                file.write(os.urandom(size))
        directory = os.path.join(self.directory(), 'data')
        run = self.take(directory, '-v')
        self.assertEqual(run.process.returncode, 0, run.said)
        for name in ('log', 'timeline', 'system_id', 'pages/1', 'pages/deep/2', 'pages/3'):
            ours = entries.read(os.path.join(directory, 'wal', name))
            self.assertTrue(ours == entries.read(self.primary.path(name)), name)
        self.assertEqual(entries.read(os.path.join(directory, 'replication/timeline')), b'1\n')
        before = state(directory)
        run = self.take(directory)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertIn('already', run.said)
        self.assertEqual(state(directory), before)
        wal = os.path.join(directory, 'wal')
        self.primary.grow(30)
        self.primary.promote()
        self.primary.grow(30)
        run = self.receive(wal)
        self.wait_for_all(wal, run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assertTrue(entries.read(os.path.join(wal, 'log')) == self.primary.content())

    def test_interrupted(self):
        """A backup that broke off is begun anew by the next run."""
        self.begin(300)
        cutter = entries.Cutter(self.serve.port)
        self.addCleanup(cutter.close)
        directory = os.path.join(self.directory(), 'data')
        size = len(self.primary.content())
        for cut in (1, 500, size // 3, size):
            cutter.cuts = [cut]
            run = walwire.run(
                *('backup', '-d', self.serve.conninfo(port=cutter.port, sslmode='disable')),
                *('-D', directory, '--dialect', 'aiondb'),
            )
            self.assertEqual(run.process.returncode, 1, run.said)
            self.assertFalse(os.path.exists(os.path.join(directory, 'replication')))
        run = self.take(directory)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertIn('clearing', run.said)
        self.assert_backup(directory)

    def test_refused(self):
        """What is no backup of walwire's is left alone, and a link is not served."""
        self.begin(5)
        directory = self.directory()
        with open(os.path.join(directory, 'mine'), 'w') as file:
            file.write('x')
        run = self.take(directory)
        self.assertEqual(run.process.returncode, 1)
        self.assertIn('is not empty', run.said)
        self.assertEqual(os.listdir(directory), ['mine'])
        os.rename(os.path.join(directory, 'mine'), os.path.join(directory, 'manifest'))
        run = self.take(directory)
        self.assertEqual(run.process.returncode, 1)
        self.assertIn('holds a database', run.said)
        os.symlink('/etc/passwd', self.primary.path('away'))
        run = self.take(os.path.join(self.directory(), 'data'))
        self.assertEqual(run.process.returncode, 1)
        self.assertIn('neither a file nor a directory', run.said)

    def test_shrinks(self):
        """What a file loses while it is sent is sent as zeros, and what it gains is not."""
        self.begin(0)
        size = 64 * 1024 * 1024
        with open(self.primary.path('pages'), 'wb') as file:
            file.write(b'p' * size)
        with open(self.primary.path('rows'), 'wb') as file:
            file.write(b'r' * 10)
        taken = os.path.join(self.directory(), 'data')

        def change():
            os.truncate(self.primary.path('pages'), 0)
            with open(self.primary.path('rows'), 'ab') as file:
                file.write(b'r' * 10)

        cutter = entries.Cutter(self.serve.port)
        self.addCleanup(cutter.close)
        cutter.cuts, cutter.instead = [1_000_000], change
        run = walwire.run(
            *('backup', '-d', self.serve.conninfo(port=cutter.port), '-D', taken),
            *('--dialect', 'aiondb'),
        )
        self.assertEqual(run.process.returncode, 0, run.said)
        ours = entries.read(os.path.join(taken, 'wal', 'pages'))
        came = len(ours.rstrip(b'\0'))
        self.assertTrue(ours == b'p' * came + bytes(size - came), came)
        self.assertLess(came, size)
        self.assertEqual(entries.read(os.path.join(taken, 'wal', 'rows')), b'r' * 10)

    def test_options(self):
        """Options that the dialect has nothing for are refused."""
        for words in (['-Ft'], ['-Z', 'zstd'], ['-r', '1M'], ['-i', 'manifest']):
            run = walwire.run('backup', '-D', 'x', '--dialect', 'aiondb', *words)
            self.assertEqual(run.process.returncode, 1)
            self.assert_lines(run, 1)


def state(top):
    """All files below, and what they hold."""
    found = {}
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            found[path] = (os.stat(path).st_mtime_ns, entries.read(path))
    return found


if __name__ == '__main__':
    live.main(alone=True)
