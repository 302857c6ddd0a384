#!/usr/bin/env python3
"""A backup that walwire takes is one: PostgreSQL's own programs verify it, it is the backup that
pg_basebackup takes, and servers start on it.
"""
import os
import re
import shutil
import subprocess

from support import backups, cluster, installed, live, walwire
from support.load import Load

ROWS = 20000


class Backups(live.Live):
    """Of a quiet server with two tablespaces."""

    @classmethod
    def setUpClass(cls):
        in_place = cls.server.major >= 16
        cls.source = cls.make_cluster({'allow_in_place_tablespaces': 'on'} if in_place else {})
        cls.source.start()
        cls.places = [cluster.directory('tablespace') for _ in range(1 if in_place else 2)]
        for number, place in enumerate(cls.places + [''] * in_place):
            cls.source.sql("CREATE TABLESPACE t%d LOCATION '%s'" % (number, place))
            cls.source.sql(
                'CREATE TABLE rows%d TABLESPACE t%d AS SELECT i, md5(i::text) AS v'
                ' FROM generate_series(1, %d) i' % (number, number, ROWS)
            )
        cls.source.sql('CHECKPOINT')
        cls.addClassCleanup(lambda: [shutil.rmtree(place) for place in cls.places])

    def take(self, *options, plain=True):
        """Takes a backup and gives its directory; `self.mapped` is where its tablespaces are."""
        directory = os.path.join(self.directory(), 'backup')
        self.mapped = {place: cluster.directory('mapped') for place in self.places}
        if plain:
            for place, target in self.mapped.items():
                options += ('-T', '%s=%s' % (place, target))
        run = backups.take(self.source, directory, '-v', *options)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.run_said = run.said
        if self.server.major >= 13:
            self.assertIn('verified against the manifest', run.said)
            self.assertTrue(os.path.exists(os.path.join(directory, 'backup_manifest')))
        else:
            self.assertIn('nothing was verified', run.said)
        return directory

    def theirs(self, *options):
        """pg_basebackup's, or None; and where its tablespaces are."""
        tool = backups.basebackup(self.server)
        if tool is None:
            return None, {}
        directory = os.path.join(self.directory(), 'backup')
        mapped = {place: cluster.directory('mapped') for place in self.places}
        for place, target in mapped.items():
            options += ('-T', '%s=%s' % (place, target))
        cluster.run_process(
            [
                tool.program('pg_basebackup'),
                *('-d', self.source.conninfo(), '-D', directory, '-c', 'fast', '-N'),
                *options,
            ]
        )
        return directory, mapped

    def check_rows(self, server):
        for number in range(2):
            self.assertEqual(
                server.sql('SELECT count(*), sum(i) FROM rows%d' % number),
                '%d|%d' % (ROWS, ROWS * (ROWS + 1) // 2),
            )

    def check_wal(self, directory, method):
        """pg_wal has what the backup needs, and nothing that would be archived again."""
        wal = os.path.join(directory, 'pg_wal')
        segments = sorted(name for name in os.listdir(wal) if re.fullmatch('[0-9A-F]{24}', name))
        status = sorted(os.listdir(os.path.join(wal, 'archive_status')))
        self.assertEqual(len(segments) > 0, method != 'none')
        self.assertEqual(status, [name + '.done' for name in segments])
        for name in segments:
            size = os.path.getsize(os.path.join(wal, name))
            self.assertEqual(size, self.source.segment_size)

    def test_plain(self):
        """With each way to get the WAL it is verified, and pg_basebackup's, file by file."""
        for method in ('none', 'fetch', 'stream'):
            ours = self.take('-X', method)
            backups.verify(self, ours)
            self.check_wal(ours, method)
            links = os.path.join(ours, 'pg_tblspc')
            leads = [os.path.join(links, oid) for oid in sorted(os.listdir(links))]
            self.assertEqual(
                [os.readlink(link) for link in leads if os.path.islink(link)],
                list(self.mapped.values()),
            )
            theirs, their_places = self.theirs('-X', method)
            if theirs is None:
                continue
            self.assertEqual(
                backups.differences(backups.content(ours), backups.content(theirs)), []
            )
            for place in self.places:
                self.assertEqual(
                    backups.differences(
                        backups.content(self.mapped[place]), backups.content(their_places[place])
                    ),
                    [],
                )

    def test_tar(self):
        """As archives it is the same: unpacked, they start as a primary that has all rows."""
        for method in ('fetch', 'stream'):
            directory = self.take('-F', 'tar', '-X', method, plain=False)
            names = sorted(os.listdir(directory))
            self.assertEqual('pg_wal.tar' in names, method == 'stream')
            self.assertIn('base.tar', names)
            if self.server.major >= 18:
                backups.verify(self, directory, '-F', 'tar')
            oids = [name[:-4] for name in names if re.fullmatch(r'\d+\.tar', name)]
            # One that stands in the data directory has an archive, too.
            places = dict(zip(oids, self.mapped.values()))
            made = backups.unpack_all(directory, places)
            for oid in oids[len(places) :]:
                inside = os.path.join(made, 'pg_tblspc', oid)
                os.makedirs(inside, exist_ok=True)
                backups.unpack(os.path.join(directory, oid + '.tar'), cluster.own(inside))
            if self.server.major >= 13:
                shutil.copy(os.path.join(directory, 'backup_manifest'), made)
            restored = backups.restore(self, self.source, made)
            restored.start()
            self.check_rows(restored)

    def test_recovered(self):
        """A plain one starts as a primary, and as one that was a standby before."""
        restored = backups.restore(self, self.source, self.take())
        restored.start()
        self.check_rows(restored)
        self.assertEqual(restored.sql('SELECT timeline_id FROM pg_control_checkpoint()'), '1')

    def test_standby(self):
        """Taken under load, it becomes a standby that follows; a backup of that standby becomes
        a primary."""
        # What a standby replays without whole pages, no backup of it could be made of.
        source = self.new_cluster({'full_page_writes': 'on'}).start()
        with Load(source):
            cluster.wait_until(lambda: source.sql('SELECT count(*) FROM load') > '1', 'the load')
            ours = self.directory()
            run = backups.take(source, ours)
            self.assertEqual((run.process.returncode, run.said.count('\n') > 1), (0, False))
        backups.verify(self, ours)
        standby = backups.restore(self, source, ours)
        standby.follow(source)
        standby.start()
        rows = source.sql('SELECT count(*) FROM load')
        cluster.wait_until(
            lambda: standby.sql('SELECT count(*) FROM load') == rows, 'the standby to have all'
        )
        of_standby = self.directory()
        run = backups.take(standby, of_standby)
        self.assertEqual(run.process.returncode, 0, run.said)
        backups.verify(self, of_standby)
        promoted = backups.restore(self, source, of_standby)
        promoted.start()
        self.assertEqual(promoted.sql('SELECT count(*) FROM load'), rows)

    def test_next_timeline(self):
        """Of a server that was promoted: the history comes along."""
        source = self.new_cluster().start()
        source.stop()
        source.become_standby()
        source.start()
        source.promote()
        ours = self.directory()
        for options in (('-X', 'stream'), ('-X', 'stream', '-F', 'tar')):
            run = backups.take(source, ours, *options)
            self.assertEqual(run.process.returncode, 0, run.said)
            if '-F' in options:
                ours = backups.unpack_all(ours, {})
            names = os.listdir(os.path.join(ours, 'pg_wal'))
            self.assertIn('00000002.history', names)
            status = os.listdir(os.path.join(ours, 'pg_wal', 'archive_status'))
            self.assertIn('00000002.history.done', status)
            restored = backups.restore(self, source, ours)
            restored.start()
            restored.stop()
            ours = self.directory()

    def test_group(self):
        """Where the server's files are its group's to read, the backup's are, too."""
        source = self.new_cluster()
        subprocess.run(['chmod', '-R', 'g+rX', source.data], check=True)
        source.start()
        ours = os.path.join(self.directory(), 'backup')
        run = backups.take(source, ours)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertEqual(os.stat(ours).st_mode & 0o777, 0o750)
        modes = {
            words.split(' ')[0] + ' ' + words.split(' ')[1]
            for words in backups.content(ours).values()
            if words != 'directory with files'
        }
        self.assertEqual(modes, {'directory 750', 'file 640'})
        for directory, _, names in os.walk(os.path.join(ours, 'pg_wal')):
            for name in names:
                mode = os.stat(os.path.join(directory, name)).st_mode & 0o777
                self.assertEqual((name, mode), (name, 0o640))

    def test_checksums(self):
        """Each algorithm a manifest may have, and none."""
        if self.server.major < 13:
            self.skipTest('no manifests')
        for algorithm in ('none', 'crc32c', 'sha224', 'SHA256', 'sha384', 'sha512'):
            directory = self.directory()
            run = backups.take(
                self.source, directory, '-F', 'tar', '--manifest-checksums', algorithm
            )
            self.assertEqual(run.process.returncode, 0, run.said)
            expected = 'walwire: the manifest has no checksums; only sizes were verified\n'
            self.assertEqual(run.said, expected if algorithm == 'none' else '')
            with open(os.path.join(directory, 'backup_manifest')) as file:
                self.assertEqual(algorithm.upper() in file.read(), algorithm != 'none', algorithm)
        directory = self.directory()
        run = backups.take(self.source, directory, '-F', 'tar', '--no-manifest')
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertIn('there is no manifest; nothing was verified', run.said)
        self.assertNotIn('backup_manifest', os.listdir(directory))

    def test_compressed(self):
        """What the server compresses is unpacked in plain format, and kept and verified in tar."""
        suffixes = {'gzip:1': '.gz', 'lz4': '.lz4', 'zstd:level=1': '.zst'}
        for method, suffix in suffixes.items():
            directory = self.directory()
            run = backups.take(self.source, directory, '-F', 'tar', '-Z', method)
            if 'not support' in run.said or 'compresses no backups' in run.said:
                self.assertEqual(run.process.returncode, 1)
                self.assert_lines(run, 1)
                self.assertEqual(os.listdir(directory), [])
                self.assertFalse(self.server.major >= 15 and suffix == '.gz', run.said)
                continue
            self.assertEqual((run.process.returncode, run.said), (0, ''))
            names = os.listdir(directory)
            self.assertIn('base.tar' + suffix, names)
            self.assertNotIn('base.tar', names)
            if self.server.major >= 18:
                backups.verify(self, directory, '-F', 'tar')
            plain = self.take('-Z', method)
            backups.verify(self, plain)

    def test_slow(self):
        """Throttled, watched on no terminal, and with progress asked for."""
        run = backups.take(self.source, self.directory(), '-Ft', '-P', '-r', '100M', '-l', "it's")
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertIn(' files, ', run.said)

    def test_slots(self):
        """The WAL's slot is gone with the backup; without one it can be done, too."""
        source = self.new_cluster({'max_replication_slots': '0'}).start()
        run = backups.take(source, self.directory())
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn('the stream of WAL from', run.said)
        run = backups.take(source, self.directory(), '--no-slot')
        self.assertEqual((run.process.returncode, run.said.count('\n') > 1), (0, False))
        self.take()
        self.assertEqual(self.source.sql('SELECT count(*) FROM pg_replication_slots'), '0')


class Large(live.Live):
    def test_large(self):
        """A table of more than a gigabyte has two files."""
        if self.server.major != installed.servers()[-1].major:
            self.skipTest('once is enough')
        found = os.statvfs(cluster.place())
        if found.f_bavail * found.f_frsize < 6 << 30:
            print('(SKIPPED: no room for a large table) ', end='')
            self.skipTest('no room for a large table')
        # A table that is made in the transaction that fills it needs no WAL on this level.
        source = self.new_cluster({'wal_level': 'minimal', 'max_wal_senders': '0'}).start()
        source.sql(
            'CREATE TABLE large (i int, v text);'
            'ALTER TABLE large ALTER v SET STORAGE PLAIN;'
            'INSERT INTO large SELECT i, repeat(chr(65 + i % 26), 8000)'
            ' FROM generate_series(1, 132000) i'
        )
        source.settings.update(cluster.SETTINGS)
        source.restart()
        path = source.sql("SELECT pg_relation_filepath('large')")
        ours = self.directory()
        run = backups.take(source, ours)
        self.assertEqual((run.process.returncode, run.said), (0, ''))
        self.assertEqual(os.path.getsize(os.path.join(ours, path)), 1 << 30)
        self.assertGreater(os.path.getsize(os.path.join(ours, path + '.1')), 0)
        backups.verify(self, ours)
        source.stop()
        restored = backups.restore(self, source, ours)
        restored.start()
        self.assertEqual(
            restored.sql('SELECT count(*), sum(i) FROM large'),
            '132000|%d' % (132000 * 132001 // 2),
        )


if __name__ == '__main__':
    live.main()
