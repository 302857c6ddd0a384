#!/usr/bin/env python3
"""Clients get from `walwire serve` what the primary behind it would have given them.

`walwire receive` fills a directory from a real primary, `walwire serve` serves it, and the real
pg_receivewal, psql, psycopg2 and walwire itself ask. Every byte that arrives is held against the
primary's own pg_wal.
"""
import os
import signal
import socket
import time

from support import archive, cluster, installed, live, relay, walwire

try:
    import psycopg2
    import psycopg2.extras
except ImportError:
    psycopg2 = None


class Serve(live.Live):
    def relayed(self, *options, segment_megabytes=1, **more):
        self.primary = self.new_cluster(segment_megabytes=segment_megabytes).start()
        self.receive, self.serve = relay.begin(self, self.primary, *options, **more)

    def assert_same(self, directory, flushed):
        """All that is in the directory is as the primary has it, and up to there it is complete."""
        found = []

        def same():
            found[:] = archive.differences(directory, self.primary, flushed)
            return not found

        try:
            cluster.wait_until(same, 'the same WAL')
        except AssertionError as late:
            raise AssertionError('%s: %s' % (late, found)) from None
        self.assertEqual(archive.others(directory), [])

    def receivewal(self, tool, directory, *options):
        made = relay.Receivewal(tool, self.serve.conninfo(), directory, *options)
        self.addCleanup(made.__exit__)
        return made

    def tools(self):
        return installed.with_program('pg_receivewal', self.server.major)

    def test_pg_receivewal(self):
        """Plain, and with a slot, synchronously: both follow a load and have it all."""
        self.relayed()
        for tool in self.tools():
            created = self.receivewal(tool, None, '--create-slot', '--slot=tool')
            self.assertEqual(created.wait(), 0, created.said)
            plain, strict = self.directory(), self.directory()
            runs = [
                self.receivewal(tool, plain),
                self.receivewal(tool, strict, '--slot=tool', '--synchronous'),
            ]
            cluster.wait_until(
                lambda: archive.partial(plain) and archive.partial(strict),
                'pg_receivewal to begin',
            )
            self.primary.grow(3)
            last = self.primary.ended_segment()
            for path in (plain, strict):
                walwire.wait_for_file(os.path.join(path, last), self.receive, self.serve)
            self.primary.sql('CREATE TABLE IF NOT EXISTS last (i int)')
            flushed = self.primary.flushed()
            for path in (plain, strict):
                self.assert_same(path, flushed)
            self.assertEqual([run.stop() for run in runs], [0, 0], [run.said for run in runs])
            dropped = self.receivewal(tool, None, '--drop-slot', '--slot=tool')
            self.assertEqual(dropped.wait(), 0, dropped.said)
        self.assertTrue(self.tools())

    def test_endpos(self):
        """--endpos ends in the middle of a segment that is still to come, and then where all WAL
        ends."""
        self.relayed()
        for tool in self.tools():
            directory = self.directory()
            middle = self.primary.flushed() + self.primary.segment_size * 3 // 2
            self.serve.wait_for_end(self.primary.flushed(), self.receive)
            run = self.receivewal(tool, directory, '--endpos=' + cluster.format_lsn(middle))
            cluster.wait_until(lambda: archive.partial(directory), 'pg_receivewal to begin')
            self.primary.grow(3)
            self.assertEqual(run.wait(), 0, run.said)
            self.assert_same(directory, middle)
            end = self.primary.flushed()
            run = self.receivewal(tool, directory, '--endpos=' + cluster.format_lsn(end))
            self.assertEqual(run.wait(), 0, run.said)
            self.assert_same(directory, end)

    def test_large_segments(self):
        """Segments of 16 MB, one record that no segment holds, and two clients at once."""
        self.relayed(segment_megabytes=16)
        first, second = self.directory(), self.directory()
        conninfo = self.serve.conninfo()
        with walwire.receive(conninfo, first) as one, walwire.receive(conninfo, second) as two:
            one.wait_for('following from')
            two.wait_for('following from')
            self.primary.sql(
                "SELECT pg_logical_emit_message(false, 'live', repeat('0123456789', 2000000))"
            )
            last = self.primary.ended_segment()
            for path in (first, second):
                walwire.wait_for_file(os.path.join(path, last), one, two, self.serve)
            flushed = self.primary.flushed()
            self.assertEqual((one.stop(), two.stop()), (0, 0), one.said + two.said)
        self.assertEqual(archive.differences(first, self.primary, 0), [])
        self.assertEqual(archive.differences(second, self.primary, 0), [])
        self.assertLessEqual(self.serve.end_of_wal(), flushed)

    def test_many(self):
        """Twelve replicas follow one load, and each has all of it."""
        self.relayed()
        directories = [self.directory() for _ in range(12)]
        runs = [walwire.receive(self.serve.conninfo(), each) for each in directories]
        for run in runs:
            self.addCleanup(run.__exit__)
        for run in runs:
            run.wait_for('following from')
        self.primary.grow(6)
        last = self.primary.ended_segment()
        for path in directories:
            walwire.wait_for_file(os.path.join(path, last), self.receive, self.serve, *runs)
        self.assertEqual([run.stop() for run in runs], [0] * 12)
        for path in directories:
            self.assertEqual(archive.differences(path, self.primary, 0), [])

    def test_trickle(self):
        """A little now and then arrives at the far end, though no segment is full."""
        self.relayed()
        directory = self.directory()
        with walwire.receive(self.serve.conninfo(), directory) as run:
            run.wait_for('following from')
            for number in range(10):
                self.primary.sql('CREATE TABLE trickle%d (i int)' % number)
                flushed = self.primary.flushed()
                name = archive.name(flushed, self.primary.segment_size)
                begin = flushed - flushed % self.primary.segment_size
                cluster.wait_until(
                    lambda: os.path.exists(os.path.join(directory, name + '.partial'))
                    and archive.read(os.path.join(directory, name + '.partial'))[: flushed - begin]
                    == archive.read(self.primary.wal(name))[: flushed - begin],
                    'the trickle to arrive',
                )
            self.assertEqual(run.stop(), 0, run.said)

    def test_answers(self):
        """What every psql is answered is what the primary answers."""
        self.relayed()
        self.primary.sql('CREATE TABLE something (i int)')
        at = self.primary.flushed()
        self.serve.wait_for_end(at, self.receive)
        tools = installed.with_program('psql', 0)
        self.assertTrue(tools)
        for tool in tools:
            with self.subTest(psql=tool.major):
                self.compare_answers(tool.program('psql'))
        self.assertIn('base backups are not served', self.serve.ask('BASE_BACKUP')[0])
        self.assertEqual(
            self.serve.ask('SHOW server_version_num'), ['%d' % (self.server.major * 10000)]
        )

    def compare_answers(self, psql):
        words = [psql, '-X', '-A', '-d', self.primary.conninfo(replication=1)]
        version = self.primary.server.version
        for command in (
            'IDENTIFY_SYSTEM',
            'SHOW wal_segment_size',
            'SHOW data_directory_mode',
            'SHOW nothing_of_this_name',
            'CREATE_REPLICATION_SLOT one PHYSICAL',
            'CREATE_REPLICATION_SLOT one PHYSICAL',
            'READ_REPLICATION_SLOT one',
            'READ_REPLICATION_SLOT other',
            'DROP_REPLICATION_SLOT one',
            'DROP_REPLICATION_SLOT one',
            'CREATE_REPLICATION_SLOT two TEMPORARY PHYSICAL',
            'START_REPLICATION SLOT three PHYSICAL 0/0',
            'START_REPLICATION 0/1000000 TIMELINE 7',
            'TIMELINE_HISTORY 1',
            'TIMELINE_HISTORY 7',
            'SELECT 1',
        ):
            theirs = cluster.run_process([*words, '-c', command], check=False)
            ours = cluster.run_process(
                [*words[:-1], self.serve.conninfo(replication=1), '-c', command], check=False
            )
            if version >= (15,) or not command.startswith('READ'):
                self.assertEqual(ours, theirs, command)

    def test_psycopg2(self):
        """psycopg2 reads the stream, message by message, and acknowledges it: it tells what it has
        flushed and nothing else, the slot moves with that, and the server can stop."""
        if psycopg2 is None and 'CI' not in os.environ:
            self.skipTest('psycopg2 is not installed')
        self.relayed()
        self.primary.grow(1)
        at = self.primary.flushed()
        self.serve.wait_for_end(at, self.receive)
        size = self.primary.segment_size
        first = at - 1 - (at - 1) % size
        connection = psycopg2.connect(
            self.serve.conninfo(),
            connection_factory=psycopg2.extras.PhysicalReplicationConnection,
        )
        with connection.cursor() as cursor:
            cursor.execute('IDENTIFY_SYSTEM')
            self.assertEqual(cursor.fetchone()[1], 1)
            cursor.create_replication_slot('psycopg2')
            cursor.start_replication(
                slot_name='psycopg2', start_lsn=cluster.format_lsn(first), decode=False
            )
            got = bytearray()

            def message():
                told = cursor.read_message()
                if told is None:
                    return len(got) >= at - first
                self.assertEqual(told.data_start, first + len(got))
                got.extend(told.payload)
                cursor.send_feedback(flush_lsn=first + len(got), force=True)
                return False

            cluster.wait_until(message, 'psycopg2 to read all')
            name = archive.name(first, size)
            self.assertEqual(
                bytes(got[: at - first]), archive.read(self.primary.wal(name))[: at - first]
            )
            if self.server.major >= 15:
                told = 'physical|%s|' % cluster.format_lsn(first + len(got))
                cluster.wait_until(
                    lambda: self.serve.ask('READ_REPLICATION_SLOT psycopg2')[0].startswith(told),
                    'the slot to move',
                    10,
                )
            self.serve.send(signal.SIGTERM)

            def ended():
                try:
                    message()
                except psycopg2.Error:
                    pass  # the server has gone
                return self.serve.process.poll() is not None

            cluster.wait_until(ended, 'walwire serve to end', 20)
            self.assertEqual(self.serve.wait(), 0, self.serve.said)
        connection.close()

    def test_removed(self):
        """WAL from before the directory began is gone, and the client is told so by name."""
        self.primary = self.new_cluster().start()
        name = self.primary.ended_segment()
        self.primary.grow(2)
        receive, serve = relay.begin(self, self.primary)
        before = self.directory()
        with open(os.path.join(before, name), 'wb') as file:
            file.write(archive.read(self.primary.wal(name)))
        cluster.own(os.path.join(before, name))
        run = walwire.run('receive', '-d', serve.conninfo(), '-D', before, '-n')
        self.assertEqual(run.process.returncode, 1)
        self.assertIn('requested WAL segment', run.said)
        self.assertIn('has already been removed', run.said)

    def test_shutdown(self):
        """A stop lets every client have what there is; a second one waits for nobody."""
        self.relayed()
        directory = self.directory()
        with walwire.receive(self.serve.conninfo(), directory, '-n') as run:
            run.wait_for('following from')
            self.primary.grow(3)
            self.primary.sql('CREATE TABLE last (i int)')
            flushed = self.primary.flushed()
            self.serve.wait_for_end(flushed, self.receive)
            self.assertEqual(self.serve.stop(), 0, self.serve.said)
            self.assertEqual(run.wait(), 1)
        self.assertEqual(archive.differences(directory, self.primary, flushed), [])

        with relay.Serve(self.serve.directory) as again:
            with walwire.receive(again.conninfo(), self.directory()) as run:
                run.wait_for('following from')
                self.primary.sql('CREATE TABLE later (i int)')
                again.wait_for_end(self.primary.flushed(), self.receive)
                run.pause()
                self.primary.grow(1)
                again.send(signal.SIGTERM)
                time.sleep(0.3)
                self.assertIsNone(again.process.poll(), again.said)
                self.assertEqual(again.stop(), 1)

    def test_crowd(self):
        """More connections than it has descriptors for: it waits for room, without a busy loop,
        and goes on with what it has."""
        # It counts on 48, of which somebody has taken 30.
        few = 'ulimit -n 48; for i in {1..30}; do exec {fd}</dev/null; done; exec "$@"'
        self.relayed(under=('bash', '-c', few, 'bash'))
        directory = self.directory()
        run = walwire.receive(self.serve.conninfo(), directory)
        self.addCleanup(run.__exit__)
        run.wait_for('following from')
        crowd = [socket.create_connection(('127.0.0.1', self.serve.port)) for _ in range(40)]
        self.serve.wait_for('could not accept')

        def spent():
            with open('/proc/%d/stat' % self.serve.process.pid) as file:
                fields = file.read().rsplit(')', 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

        before = spent()
        time.sleep(0.5)
        self.assertLess(spent() - before, 0.2)
        for each in crowd:
            each.close()
        cluster.wait_until(lambda: self.serve.ask('IDENTIFY_SYSTEM')[0].count('|') == 3, 'room')
        last = self.primary.ended_segment()
        walwire.wait_for_file(os.path.join(directory, last), run, self.serve)

    def test_refusals(self):
        """What cannot work ends at once, with exit status 1 and one line."""
        empty = self.directory()
        self.relayed()
        taken = '127.0.0.1:%d' % self.serve.port
        wal = self.serve.directory
        for words, why in (
            (['--listen', '127.0.0.1:0', '--wal', empty], 'there is no WAL in'),
            (['--listen', '127.0.0.1:0', '--wal', empty + '/none'], 'could not open directory'),
            (['--listen', taken, '--wal', wal], 'could not listen on'),
            (['--listen', 'nowhere', '--wal', wal], '--listen cannot be "nowhere"'),
            (['--wal', wal], '--listen'),
            (['--listen', '127.0.0.1:0'], '--wal'),
            (
                ['--listen', '127.0.0.1:0', '--wal', wal, '--server-version', '11.5'],
                'server version "11.5"',
            ),
            (['--listen', '127.0.0.1:0', '--wal', wal, '--auth', 'md5'], '--password-file'),
            (['--listen', '127.0.0.1:0', '--wal', wal, '--tls-key', '/x'], '--tls-cert'),
            (['--listen', '127.0.0.1:0', '--wal', wal, '--slots', wal], 'could not read'),
        ):
            run = walwire.run('serve', *words)
            self.assertEqual(run.process.returncode, 1, words)
            self.assert_lines(run, 1)
            self.assertIn(why, run.said)


if __name__ == '__main__':
    live.main(few=True)
