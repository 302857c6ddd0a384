#!/usr/bin/env python3
"""A backup that `walwire serve` serves is the backup that lies there.

`walwire backup` takes it from a real server, `walwire receive` keeps that server's WAL, and
`walwire serve` serves both to the real pg_basebackup, to walwire itself, and to the standby that
comes of it.
"""
import os
import shutil
import signal

from support import backups, cluster, live, relay, walwire

ROWS = 20000


class ServedBackup(live.Live):
    def begin(self):
        """A server with a tablespace, its backup, and both served."""
        self.place = cluster.directory('tablespace')
        self.primary = self.new_cluster().start()
        self.primary.sql(
            "CREATE TABLESPACE away LOCATION '%s'" % self.place,
            'CREATE TABLE here AS SELECT i FROM generate_series(1, %d) i' % ROWS,
            'CREATE TABLE away TABLESPACE away AS SELECT i FROM generate_series(1, %d) i' % ROWS,
        )
        self.wal = self.directory()
        self.receive = walwire.receive(self.primary, self.wal, '-s', 1)
        self.addCleanup(self.receive.__exit__)
        self.receive.wait_for('following from')
        self.kept = os.path.join(self.directory(), 'backup')
        self.kept_place = cluster.directory('kept')
        run = backups.take(
            self.primary, self.kept, '-X', 'none', '-T', '%s=%s' % (self.place, self.kept_place)
        )
        self.assertEqual(run.process.returncode, 0, run.said)
        cluster.wait_until(
            lambda: relay.holds_wal(self.wal, self.primary.segment_size), 'the first WAL'
        )
        self.serve = relay.Serve(self.wal, '--backup', self.kept)
        self.addCleanup(self.serve.__exit__)
        self.serve.wait_for_end(self.primary.flushed(), self.receive)

    def mapped(self):
        made = cluster.directory('mapped')
        return made, '%s=%s' % (self.kept_place, made)

    def assert_same(self, taken, place):
        """But for the WAL, which comes from elsewhere, and for the ways to say where tablespaces
        are."""
        for one, other in ((taken, self.kept), (place, self.kept_place)):
            found = backups.differences(backups.content(one), backups.content(other))
            other_ways = ('pg_wal', 'pg_tblspc/', 'tablespace_map')
            self.assertEqual([line for line in found if not line.startswith(other_ways)], [])

    def check_rows(self, server):
        for table in ('here', 'away'):
            self.assertEqual(server.sql('SELECT count(*) FROM %s' % table), str(ROWS))

    def pg_basebackup(self, tool, directory, *options):
        cluster.run_process(
            [
                tool.program('pg_basebackup'),
                *('-d', self.serve.conninfo(), '-D', directory, '-N', '-P', *options),
            ]
        )

    def test_pg_basebackup(self):
        """With each way to get the WAL; what it took is verified, and a server starts on it."""
        self.begin()
        tool = backups.basebackup(self.server)
        if tool is None:
            self.skipTest('no pg_basebackup for this version')
        self.primary.stop()
        for method in ('stream', 'fetch', 'none'):
            taken = os.path.join(self.directory(), 'backup')
            place, words = self.mapped()
            self.pg_basebackup(tool, taken, '-X', method, '-T', words)
            self.assert_same(taken, place)
            backups.verify(self, taken, '-n')
            if method == 'none':
                continue
            shutil.rmtree(self.place)
            os.rename(place, self.place)
            link = os.path.join(taken, 'pg_tblspc', os.listdir(taken + '/pg_tblspc')[0])
            os.unlink(link)
            os.symlink(self.place, link)
            restored = backups.restore(self, self.primary, taken)
            restored.start()
            self.check_rows(restored)
            restored.stop()
        archives = os.path.join(self.directory(), 'backup')
        options = ('-F', 'tar', '-X', 'none')
        if self.server.major >= 13:
            options += ('--manifest-checksums', 'sha256', '--manifest-force-encode')
        self.pg_basebackup(tool, archives, *options)
        names = os.listdir(archives)
        self.assertIn('base.tar', names)
        oid = [name[:-4] for name in names if name[0].isdigit()][0]
        place = cluster.directory('unpacked')
        self.assert_same(backups.unpack_all(archives, {oid: place}), place)
        self.assertEqual(self.serve.stop(), 0, self.serve.said)

    def test_walwire(self):
        """By walwire, plain and as archives, throttled and at full speed."""
        self.begin()
        for options in ((), ('-X', 'fetch'), ('-X', 'none', '-r', '200M')):
            taken = os.path.join(self.directory(), 'backup')
            place, words = self.mapped()
            run = backups.take(self.serve, taken, '-T', words, *options)
            self.assertEqual(run.process.returncode, 0, run.said)
            self.assert_same(taken, place)
            backups.verify(self, taken, '-n')
        for algorithm in ('none', 'sha512') if self.server.major >= 13 else ():
            run = backups.take(
                self.serve, self.directory(), '-Ft', '--manifest-checksums', algorithm
            )
            self.assertEqual(run.process.returncode, 0, run.said)
        self.assertEqual(self.serve.stop(), 0, self.serve.said)

    def test_standby(self):
        """The standby that comes of it follows `walwire serve`, and has what was written since."""
        self.begin()
        taken = os.path.join(self.directory(), 'backup')
        place, words = self.mapped()
        run = backups.take(self.serve, taken, '-T', words)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.primary.sql('CREATE TABLE later AS SELECT i FROM generate_series(1, %d) i' % ROWS)
        standby = backups.restore(self, self.primary, taken)
        standby.settings['primary_conninfo'] = self.serve.conninfo()
        standby.become_standby()
        standby.start()
        at = self.primary.flushed()
        cluster.wait_until(
            lambda: cluster.parse_lsn(standby.sql('SELECT pg_last_wal_replay_lsn()')) >= at,
            'the standby to have all WAL',
        )
        self.check_rows(standby)
        self.assertEqual(standby.sql('SELECT count(*) FROM later'), str(ROWS))

    def test_refused(self):
        """What cannot be served is refused, with the reason; what is no backup, at once."""
        self.begin()
        for option in ("COMPRESSION 'gzip'", "TARGET 'blackhole'"):
            if self.server.major >= 15:
                said = self.serve.ask('BASE_BACKUP ( %s )' % option, 'IDENTIFY_SYSTEM')
                self.assertEqual(len(said), 2, said)
                self.assertIn('ERROR', said[0])
        os.unlink(os.path.join(self.kept, 'base', '1', 'PG_VERSION'))
        os.mkfifo(os.path.join(self.kept, 'base', '1', 'PG_VERSION'))
        run = backups.take(self.serve, self.directory(), '-Ft')
        self.assertEqual(run.process.returncode, 1)
        self.assertIn('is neither a file nor a directory', run.said)
        label = os.path.join(self.kept, 'backup_label')
        with open(label, 'a') as file:
            file.write('INCREMENTAL FROM LSN: 0/1000028\nINCREMENTAL FROM TLI: 1\n')
        self.assert_not_offered('is an incremental backup; combine it first')
        os.unlink(label)
        self.assert_not_offered('has no backup_label')

    def assert_not_offered(self, why):
        run = walwire.run(
            'serve', '--listen', '127.0.0.1:0', '--wal', self.wal, '--backup', self.kept
        )
        self.assertEqual(run.process.returncode, 1)
        self.assertIn(why, run.said)
        self.assert_lines(run, 1)

    def first_segment(self):
        """The segment that the backup begins in, and where in it."""
        with open(os.path.join(self.kept, 'backup_label')) as file:
            words = file.readline().split()
        return words[5][:-1], cluster.parse_lsn(words[3]) % self.primary.segment_size

    def assert_backup_refused(self, serve, why, *options):
        """It is, before anything of it is there."""
        directory = self.directory()
        run = backups.take(serve, directory, '-F', 'tar', *options)
        self.assertEqual(run.process.returncode, 1, run.said)
        self.assertIn(why, run.said)
        self.assert_lines(run, 1)
        self.assertEqual(os.listdir(directory), [])

    def test_log_removed(self):
        """WAL that somebody removed is not made up."""
        self.begin()
        self.primary.stop()
        name, _ = self.first_segment()
        for suffix in ('', '.partial'):
            path = os.path.join(self.wal, name + suffix)
            if os.path.exists(path):
                os.unlink(path)
        self.assert_backup_refused(self.serve, 'ERROR 58P01', '-X', 'fetch')
        self.assertIn('needs WAL segment %s, which is not there' % name, self.serve.said)
        self.assert_backup_refused(self.serve, 'segment %s' % name, '-X', 'stream')
        run = backups.take(self.serve, self.directory(), '-F', 'tar', '-X', 'none')
        self.assertEqual(run.process.returncode, 0, run.said)

    def test_log_not_there_yet(self):
        """A backup is refused until its WAL has come, and served from then on."""
        self.begin()
        self.primary.stop()
        self.receive.__exit__()
        name, start = self.first_segment()
        names = [each for each in sorted(os.listdir(self.wal)) if each[:8] == name[:8]]
        late = self.directory()
        for each in names:
            if each[:24] < name:
                shutil.copy(os.path.join(self.wal, each), late)
        [known] = [each for each in names if each[:24] == name]
        with open(os.path.join(self.wal, known), 'rb') as file:
            head = file.read(start)
        path = os.path.join(late, name + '.partial')
        with open(path, 'wb') as file:
            file.write(head.ljust(self.primary.segment_size, b'\0'))
        cluster.own(late)
        for each in os.listdir(late):
            cluster.own(os.path.join(late, each))
        with relay.Serve(late, '--backup', self.kept) as serve:
            self.assertIn('cannot be served with its WAL as it is', serve.said)
            for method in ('fetch', 'stream', 'none'):
                self.assert_backup_refused(serve, 'what there is ends at', '-X', method)
            os.unlink(path)
            for each in names:
                if each[:24] >= name:
                    shutil.copy(os.path.join(self.wal, each), late)
                    cluster.own(os.path.join(late, each))
            run = backups.take(serve, self.directory(), '-F', 'tar', '-X', 'fetch')
            self.assertEqual(run.process.returncode, 0, run.said)

    def test_interrupted(self):
        """A client that leaves in the middle costs nobody anything."""
        self.begin()
        run = walwire.Walwire(*backups.words(self.serve, self.directory(), '-Ft', '-r', '32'))
        self.serve.wait_for('takes a backup')
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.process.wait(cluster.PATIENCE), 1)
        run = backups.take(self.serve, self.directory(), '-Ft')
        self.assertEqual(run.process.returncode, 0, run.said)


if __name__ == '__main__':
    live.main()
