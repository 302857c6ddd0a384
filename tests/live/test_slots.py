#!/usr/bin/env python3
"""Replication slots, and where a stream begins and ends.

A slot is made, used, waited for and missed as the manual says; it keeps no less than what is not
durable in the directory, and no more for longer than it takes to say so.
"""
import os

from support import archive, cluster, live, walwire


class Slots(live.Live):
    @classmethod
    def setUpClass(cls):
        cls.source = cls.make_cluster({'max_wal_senders': '3'}).start()

    def tearDown(self):
        self.source.sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots')

    def slot(self, column, name='live'):
        return self.source.sql(
            "SELECT %s FROM pg_replication_slots WHERE slot_name = '%s'" % (column, name)
        )

    def restart_lsn(self):
        return cluster.parse_lsn(self.slot('restart_lsn'))

    def test_created(self):
        """Made by itself or on the way; a second time only where --if-not-exists allows it."""
        words = ('receive', '-d', self.source.conninfo(), '-S', 'live', '--create-slot')
        run = walwire.run(*words)
        self.assertEqual((run.process.returncode, run.said), (0, ''))
        self.assertEqual(self.slot('slot_type, active, temporary'), 'physical|f|f')
        run = walwire.run(*words)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn('42710', run.said)
        self.assertEqual(walwire.run(*words, '--if-not-exists').process.returncode, 0)
        with walwire.Walwire(*words, '--if-not-exists', '-D', self.directory()) as run:
            cluster.wait_until(lambda: self.slot('active') == 't', 'the slot to be used')
            self.assertEqual(run.stop(), 0, run.said)
        cluster.wait_until(lambda: self.slot('active') == 'f', 'the slot to be free')

    def test_beginning(self):
        """An empty directory begins where the slot keeps WAL from, as far as a server tells
        (15)."""
        self.source.sql("SELECT pg_create_physical_replication_slot('live', true)")
        first = archive.name(self.restart_lsn(), self.source.segment_size)
        self.source.grow(3)
        last = self.source.ended_segment()
        directory = self.directory()
        with walwire.receive(self.source, directory, '-S', 'live') as run:
            self.source.sql("SELECT pg_logical_emit_message(true, 'live', 'more')")
            if self.server.major >= 15:
                walwire.wait_for_file(os.path.join(directory, last), run)
                self.assertEqual(archive.whole(directory)[0], first)
            else:
                cluster.wait_until(lambda: archive.partial(directory), 'a segment')
            self.assertEqual(run.stop(), 0, run.said)

    def test_advances(self):
        """restart_lsn is the end of the last whole segment: behind it nothing is promised yet."""
        self.source.sql("SELECT pg_create_physical_replication_slot('live', true)")
        directory = self.directory()
        with walwire.receive(self.source, directory, '-S', 'live') as run:
            run.wait_for('following from')
            for _ in range(3):
                self.source.grow(2)
                last = self.source.ended_segment()
                self.source.sql("SELECT pg_logical_emit_message(true, 'live', 'the next segment')")
                walwire.wait_for_file(os.path.join(directory, last), run)
                size = self.source.segment_size
                end = (archive.number(last, size) + 1) * size
                cluster.wait_until(lambda: self.restart_lsn() >= end, 'the slot to advance')
                self.assertEqual(self.restart_lsn(), end)
            self.assertEqual(run.stop(), 0, run.said)

    def test_in_use(self):
        """A slot that somebody uses is waited for."""
        self.source.sql("SELECT pg_create_physical_replication_slot('live', true)")
        with walwire.receive(self.source, self.directory(), '-S', 'live') as first:
            first.wait_for('following from')
            with walwire.receive(self.source, self.directory(), '-S', 'live') as second:
                second.wait_for('55006')
                second.wait_for('trying again')
                self.assertEqual(first.stop(), 0, first.said)
                second.wait_for('following from')
                self.assertEqual(second.stop(), 0, second.said)
        with walwire.receive(self.source, self.directory(), '-S', 'live') as first:
            first.wait_for('following from')
            run = walwire.run(
                'receive', '-n', '-d', self.source.conninfo(), '-S', 'live', '-D', self.directory()
            )
            self.assertEqual(run.process.returncode, 1)
            self.assert_lines(run, 1)
            self.assertIn('55006', run.said)

    def test_too_many(self):
        """So is a place at a server that has no more of them."""
        first = [walwire.receive(self.source, self.directory()) for _ in range(3)]
        try:
            for each in first:
                each.wait_for('following from')
            with walwire.receive(self.source, self.directory()) as last:
                last.wait_for('53300')
                self.assertEqual(first[0].stop(), 0)
                last.wait_for('following from')
                self.assertEqual(last.stop(), 0, last.said)
        finally:
            for each in first:
                each.__exit__()

    def test_missing(self):
        """No slot of that name, or none that could be: at once and for good."""
        for name, said in (('missing', '42704'), ('Not A Name', '-S')):
            directory = self.directory()
            run = walwire.run('receive', '-d', self.source.conninfo(), '-S', name, '-D', directory)
            self.assertEqual(run.process.returncode, 1)
            self.assert_lines(run, 1)
            self.assertIn(said, run.said)
            self.assertEqual(os.listdir(directory), [])

    def test_removed(self):
        """WAL that the server has no more ends it, and the line says which."""
        keep = 'wal_keep_segments' if self.server.major == 12 else 'wal_keep_size'
        source = self.new_cluster({keep: '0'}).start()
        directory = self.directory()
        with walwire.receive(source, directory) as run:
            run.wait_for('following from')
            walwire.wait_for_file(os.path.join(directory, source.ended_segment()), run)
            self.assertEqual(run.stop(), 0, run.said)
        needed = archive.name(source.flushed(), source.segment_size)
        source.grow(3)
        source.sql('CHECKPOINT')
        source.grow(3)
        source.sql('CHECKPOINT')
        self.assertFalse(os.path.exists(source.wal(needed)))
        before = archive.state(directory)
        run = walwire.run('receive', '-d', source.conninfo(), '-D', directory)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn('58P01', run.said)
        self.assertIn(needed, run.said)
        self.assertEqual(archive.state(directory), before)

    def test_end(self):
        """--endpos: all up to there is in the directory, and the exit status is 0."""
        directory = self.directory()
        with walwire.receive(self.source, directory) as run:
            run.wait_for('following from')
            self.assertEqual(run.stop(), 0, run.said)
        begin = self.source.flushed()
        self.source.grow(2)
        middle = self.source.flushed()
        self.source.grow(1)
        size = self.source.segment_size
        for end in (begin + 1, begin - begin % size + 2 * size, middle, self.source.flushed()):
            run = walwire.run(
                'receive',
                '-d',
                self.source.conninfo(),
                '-D',
                directory,
                '-E',
                cluster.format_lsn(end),
            )
            self.assertEqual((run.process.returncode, run.said), (0, ''))
            self.assertEqual(self.differences_up_to(directory, end), [])

    def differences_up_to(self, directory, end):
        found = [
            found
            for found in archive.differences(directory, self.source, end)
            if found != 'there is no whole segment'
        ]
        size = self.source.segment_size
        last = (archive.whole(directory) + [name[:24] for name in archive.partial(directory)])[-1]
        if (archive.number(last, size) + 1) * size < end:
            found.append('nothing is there behind ' + last)
        return found


if __name__ == '__main__':
    live.main()
