#!/usr/bin/env python3
"""What clients of `walwire serve` do that no tool does on purpose: they cancel, they come in
crowds, they ask for what cannot be read.

What is served is the pg_wal of a server that was stopped, and a backup of it.
"""
import os
import shutil
import struct
import time

from support import archive, backups, cluster, live, raw, relay

PLACES = 64  # max_wal_senders, as serve has it
CONNECTIONS = 256


class ServeClients(live.Live):
    @classmethod
    def setUpClass(cls):
        source = cls.make_cluster().start()
        cls.backup = os.path.join(cluster.directory('kept'), 'backup')
        run = backups.take(source, cls.backup, '-X', 'none')
        if run.process.returncode != 0:
            raise AssertionError(run.said)
        source.grow(24)
        source.stop()
        cls.wal = cluster.directory('wal')
        cls.first = archive.whole(source.wal(''))[0]
        for name in archive.whole(source.wal('')):
            cluster.own(shutil.copy(source.wal(name), cls.wal))

    def serves(self, *options, wal=None):
        made = relay.Serve(wal or self.wal, *options)
        self.addCleanup(made.__exit__)
        return made

    def enters(self, serve, **more):
        made = raw.Raw(serve.port, **more)
        self.addCleanup(made.__exit__)
        return made.login()

    def assert_cancelled(self, client, serve):
        """It is told, and can go on; gives what came before that."""
        *before, error, ready = client.until(b'Z')
        self.assertEqual((error[0], ready), (b'E', (b'Z', b'I')))
        told = raw.fields(error[1])
        self.assertEqual((told['S'], told['C']), ('ERROR', '57014'))
        client.query('SHOW wal_block_size')
        self.assertIn((b'D', b'\0\1\0\0\0\0048192'), client.until(b'Z'))
        self.assertEqual(serve.said.count('cancelled'), 1)
        return before

    def test_cancel_stream(self):
        """A stream that nobody reads is cancelled in the middle of a message: that one comes
        whole, and no other."""
        serve = self.serves()
        client = self.enters(serve, receive_buffer=4096)
        begin = int(self.first[8:16], 16) << 32 | int(self.first[16:], 16) << 20
        client.query('START_REPLICATION ' + cluster.format_lsn(begin))
        serve.wait_for('streams from')
        time.sleep(0.5)  # until no more fits into the sockets
        client.cancel()
        got = [body for tag, body in self.assert_cancelled(client, serve) if tag == b'd']
        at = begin
        for body in got:
            self.assertEqual((body[:1], struct.unpack('>Q', body[1:9])[0]), (b'w', at))
            at += len(body) - 25
        self.assertGreater(at, begin)
        self.assertLess(at, struct.unpack('>Q', got[0][9:17])[0])

    def test_cancel_backup(self):
        """So is a backup."""
        serve = self.serves('--backup', self.backup)
        client = self.enters(serve, receive_buffer=4096)
        client.query('BASE_BACKUP')
        serve.wait_for('takes a backup')
        time.sleep(0.5)
        client.cancel()
        self.assertNotIn(b'c', [tag for tag, _ in self.assert_cancelled(client, serve)])
        self.assertNotIn('the backup was sent', serve.said)

    def test_cancel_waiting(self):
        """And whoever waits for a slot of somebody else's; the slot stays."""
        serve = self.serves()
        holder = self.enters(serve)
        holder.query('CREATE_REPLICATION_SLOT held TEMPORARY PHYSICAL')
        holder.until(b'Z')
        client = self.enters(serve)
        client.query('DROP_REPLICATION_SLOT held WAIT')
        time.sleep(0.2)
        client.cancel()
        self.assertEqual(self.assert_cancelled(client, serve), [])
        self.assertIn('is active', '\n'.join(serve.ask('DROP_REPLICATION_SLOT held')))

    def test_cancel_nothing(self):
        """A cancel request between two commands means neither of them, and a wrong key nobody."""
        serve = self.serves()
        client = self.enters(serve)
        client.cancel()
        client.query('CREATE_REPLICATION_SLOT held TEMPORARY PHYSICAL')
        self.assertEqual(client.until(b'Z')[0][0], b'T')
        waiting = self.enters(serve)
        waiting.query('DROP_REPLICATION_SLOT held WAIT')
        time.sleep(0.2)
        waiting.key = waiting.key[:-1] + bytes([waiting.key[-1] ^ 1])
        waiting.cancel()
        client.query('DROP_REPLICATION_SLOT held')
        self.assertEqual(waiting.read()[0], b'E')  # it is gone already
        self.assertNotIn('cancelled', serve.said)

    def assert_turned_away(self, serve, why, **more):
        """With 53300, before anything else is said."""
        with raw.Raw(serve.port, **more) as late:
            tag, body = late.read()
            self.assertEqual(tag, b'E')
            told = raw.fields(body)
            self.assertEqual((told['S'], told['C']), ('FATAL', '53300'))
            self.assertIn(why, told['M'])

    def test_places(self):
        """One replica too many is told so before it is asked for anything."""
        serve = self.serves()
        inside = [self.enters(serve) for _ in range(PLACES)]
        self.assert_turned_away(serve, 'max_wal_senders (currently %d)' % PLACES)
        inside.pop().__exit__()
        cluster.wait_until(lambda: serve.ask('IDENTIFY_SYSTEM')[0].count('|') == 3, 'a place')

    def test_silent_crowd(self):
        """Where those who say nothing hold all places, who comes later hears of it soon."""
        serve = self.serves()
        silent = [raw.connect(serve.port) for _ in range(CONNECTIONS - 16)]
        since = time.monotonic()
        self.assert_turned_away(serve, 'too many clients')
        crowd = [raw.connect(serve.port) for _ in range(40)]
        self.assert_turned_away(serve, 'too many clients')
        self.assertLess(time.monotonic() - since, 30)  # not the minute that others have
        for each in silent + crowd:
            each.close()
        cluster.wait_until(lambda: serve.ask('IDENTIFY_SYSTEM')[0].count('|') == 3, 'a place')

    def test_protocol_options(self):
        """Those that nobody knows are named again, and too many of them are refused with a word."""
        serve = self.serves()
        with raw.Raw(serve.port, options=400) as client:
            told = client.until(b'Z')
            self.assertEqual([tag for tag, _ in told[:2]], [b'v', b'R'])
            self.assertEqual(told[0][1].count(b'_pq_.\0'), 400)
        for many in (560, 700, 1400):
            with raw.Raw(serve.port, options=many) as client:
                tag, body = client.read()
                self.assertEqual((tag, raw.fields(body)['C']), (b'E', '08P01'))

    def test_unreadable(self):
        """Files that are links are not followed; who asks is told so and goes on."""
        wal = self.directory()
        for name in os.listdir(self.wal):
            cluster.own(shutil.copy(os.path.join(self.wal, name), wal))
        os.symlink('/etc/passwd', os.path.join(wal, '00000002.history'))
        segment = os.path.join(wal, self.first)
        os.rename(segment, segment + '.kept')
        os.symlink(segment + '.kept', segment)
        serve = self.serves(wal=wal)
        said = serve.ask('TIMELINE_HISTORY 2', 'SHOW ALL', 'SELECT 1', 'IDENTIFY_SYSTEM')
        self.assertIn('could not open a history file', said[0])
        self.assertIn('symbolic links', said[0])
        self.assertIn('SHOW ALL is not served', '\n'.join(said))
        self.assertEqual(said[-1].count('|'), 3)
        self.assertIn(
            'SQL commands are not served', '\n'.join(serve.ask('SELECT 1', replication='database'))
        )
        client = self.enters(serve)
        for _ in range(2):
            begin = int(self.first[8:16], 16) << 32 | int(self.first[16:], 16) << 20
            client.query('START_REPLICATION ' + cluster.format_lsn(begin))
            told = client.until(b'Z')
            self.assertEqual([tag for tag, _ in told], [b'W', b'E', b'Z'])
            self.assertEqual(raw.fields(told[1][1])['C'], '58P01')


if __name__ == '__main__':
    live.main(few=True)
