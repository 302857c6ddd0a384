#!/usr/bin/env python3
"""Incremental backups, of servers from 17 on: the manifest of the backup before goes up, what
changed comes down, and `walwire combine` makes of the chain what PostgreSQL's own pg_combinebackup
does: a server's directory.
"""
import json
import os
import struct
from random import Random

from support import backups, cluster, installed, live, walwire


CONTROL = 'global/pg_control'


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


class Incremental(live.Live):
    def setUp(self):
        if self.server.major < 17:
            self.skipTest('servers have no incremental backups before 17')
        self.source = self.new_cluster({'summarize_wal': 'on'}).start()
        self.source.sql(
            'CREATE TABLE changed AS SELECT i, 0 AS n FROM generate_series(1, 200000) i',
            'VACUUM changed',  # what reads it now would write every block for the first time
        )

    def take(self, before=None, *options):
        directory = self.directory()
        more = ['-i', os.path.join(before, 'backup_manifest')] if before else []
        run = backups.take(self.source, directory, '-v', *more, *options)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assertIn('verified against the manifest', run.said)
        return directory

    def increments(self, directory):
        return [
            os.path.join(top, name)
            for top, _, names in os.walk(directory)
            for name in names
            if name.startswith('INCREMENTAL.')
        ]

    def change(self, number):
        self.source.sql(
            'UPDATE changed SET n = %d WHERE i %% 1000 = %d' % (number, number),
            'CREATE TABLE new%d AS SELECT i FROM generate_series(1, 1000) i' % number,
        )

    def combine(self, chain, *options):
        """What walwire makes of a chain of backups."""
        whole = os.path.join(self.directory(), 'whole')
        run = walwire.run('combine', '-v', '-o', whole, *options, *chain)
        self.assertEqual(run.process.returncode, 0, run.said)
        self.assert_lines(run, 1)
        self.assertIn('combined %d backups' % len(chain), run.said)
        return whole

    def combine_with_theirs(self, chain, *options):
        """What pg_combinebackup makes of it, or None where there is none, which is said."""
        tools = installed.with_program('pg_combinebackup', self.server.major)
        if not tools:
            self.assertNotIn('CI', os.environ, 'there is no pg_combinebackup')
            print('NOT COMPARED with pg_combinebackup, as there is none: ', end='', flush=True)
            return None
        tool = tools[0]
        control = None
        if tool.major != self.server.major:
            chain = [self.copy(directory) for directory in chain]
            control = [self.renew_control(directory) for directory in chain][-1]
        whole = os.path.join(self.directory(), 'whole')
        cluster.run_process(
            [tool.program('pg_combinebackup'), *chain, '-o', whole, '-N', *options]
        )
        if control:
            with open(os.path.join(whole, CONTROL), 'wb') as file:
                file.write(control)
        backups.verify(self, whole)
        return whole

    def copy(self, directory):
        made = os.path.join(self.directory(), 'copy')
        cluster.run_process(['cp', '-a', directory, made])
        return made

    def renew_control(self, directory):
        """Gives a backup of 17 the control file of 18, which only pg_combinebackup 18 reads: the
        two have one byte between them, and are alike in all else that it looks at. Gives what was
        there."""
        path = os.path.join(directory, CONTROL)
        with open(path, 'rb') as file:
            old = file.read()
        [end] = [
            at
            for at in range(200, 400, 4)
            if struct.unpack_from('<I', old, at)[0] == crc32c(old[:at])
        ]
        self.assertEqual(struct.unpack_from('<I', old, 8)[0], 1700)
        secret = end - 32  # the byte stands before it
        new = old[:8] + struct.pack('<I', 1800) + old[12:secret]
        new += b'\1' + old[secret:end] + bytes(3)
        new += struct.pack('<I', crc32c(new))
        with open(path, 'wb') as file:
            file.write(new.ljust(len(old), b'\0'))
        return old

    def manifest(self, directory):
        """All that a manifest says but for dates, its own checksum, and WAL: pg_combinebackup lists
        what there is of it, without checksums; servers do not, and nobody looks at it."""
        with open(os.path.join(directory, 'backup_manifest')) as file:
            said = json.load(file)
        del said['Manifest-Checksum']
        for each in said['Files']:
            del each['Last-Modified']
        files = [each for each in said['Files'] if not each['Path'].startswith('pg_wal/')]
        said['Files'] = sorted(files, key=lambda each: each['Path'])
        return said

    def log(self, directory):
        """The WAL that lies in a backup, by its names."""
        found = {}
        for top, _, names in os.walk(os.path.join(directory, 'pg_wal')):
            for name in names:
                path = os.path.join(top, name)
                with open(path, 'rb') as file:
                    found[os.path.relpath(path, directory)] = file.read()
        return found

    def assert_same(self, ours, theirs):
        """File by file, and as far as the manifests go."""
        self.assertEqual(
            backups.differences(
                backups.content(ours, ('backup_manifest',)),
                backups.content(theirs, ('backup_manifest',)),
            ),
            [],
        )
        self.assertEqual(self.log(ours), self.log(theirs))
        self.assertEqual(self.manifest(ours), self.manifest(theirs))

    def test_chain(self):
        """A full backup and two increments are the server's directory again, ours as theirs."""
        self.source.sql(
            'CREATE TABLE shrunk AS SELECT i FROM generate_series(1, 100000) i', 'VACUUM shrunk'
        )
        path = self.source.sql("SELECT pg_relation_filepath('changed')")
        incremental = os.path.join(os.path.dirname(path), 'INCREMENTAL.' + os.path.basename(path))
        changes = (
            ('DELETE FROM shrunk WHERE i > 1000', 'VACUUM shrunk'),
            ('INSERT INTO shrunk SELECT generate_series(1, 50000)', 'DROP TABLE new1'),
        )
        chain = [self.take()]
        self.assertEqual(self.increments(chain[0]), [])
        for number, more in enumerate(changes, 1):
            self.change(number)
            self.source.sql(*more)
            chain.append(self.take(chain[-1]))
            self.assertIn(os.path.join(chain[-1], incremental), self.increments(chain[-1]))
            with open(os.path.join(chain[-1], 'backup_label')) as file:
                self.assertIn('INCREMENTAL FROM LSN', file.read())
            size = sum(os.path.getsize(path) for path in self.increments(chain[-1]))
            self.assertLess(size, 8 << 20)
        for directory in chain:
            backups.verify(self, directory)
        # No question may be answered from an index alone. Servers 17 and 18, but for the latest,
        # miss it when a visibility map loses a bit, and what is restored from them has the bit yet.
        questions = (
            'SELECT n, count(*) FROM changed GROUP BY n ORDER BY n',
            'SELECT count(*), sum(i) FROM shrunk',
            'SELECT count(*) FROM new2',
            "SELECT to_regclass('new1') IS NULL",
        )
        wanted = [self.source.sql(question) for question in questions]
        self.assertEqual(wanted[-2:], ['1000', 't'])
        whole = self.combine(chain)
        self.assertEqual(self.increments(whole), [])
        backups.verify(self, whole)
        theirs = self.combine_with_theirs(chain)
        if theirs:
            self.assert_same(whole, theirs)
        restored = backups.restore(self, self.source, whole)
        restored.start()
        self.assertEqual([restored.sql(question) for question in questions], wanted)

    def make_up(self, random, size):
        """An incremental file as no server would have to write it, of blocks below some number."""
        numbers = sorted(random.sample(range(size), random.randint(0, size)))
        head = struct.pack('<III', 0xD3AE1F0D, len(numbers), random.randint(0, size))
        head += struct.pack('<%dI' % len(numbers), *numbers)
        if numbers:
            head += bytes(-len(head) % 8192)
        return head + random.randbytes(8192 * len(numbers))

    def test_made_up(self):
        """Whatever stands in incremental files, ours and theirs make the same of it."""
        chain = [self.take()]
        for number in (1, 2):
            self.change(number)
            chain.append(self.take(chain[-1]))
        folder = os.path.dirname(self.source.sql("SELECT pg_relation_filepath('changed')"))
        random = Random(17)
        for number in range(100):
            for at, directory in enumerate(chain):
                whole = at == 0 or (at == 1 and random.random() < 0.2)
                name = '%s%d' % ('' if whole else 'INCREMENTAL.', 90000 + number)
                path = os.path.join(directory, folder, name)
                with open(path, 'wb') as file:
                    if whole:
                        file.write(random.randbytes(random.randint(0, 12 * 8192)))
                    else:
                        file.write(self.make_up(random, 12))
                cluster.own(path)
        whole = self.combine(chain)
        self.assertEqual(self.increments(whole), [])
        backups.verify(self, whole)
        theirs = self.combine_with_theirs(chain)
        if theirs:
            self.assert_same(whole, theirs)

    def test_tablespaces(self):
        """One that lies elsewhere goes where it is sent; one in its place stays there."""
        old = cluster.directory('tablespace')
        self.source.stop()
        self.source.settings['allow_in_place_tablespaces'] = 'on'
        self.source.start()
        self.source.sql("CREATE TABLESPACE elsewhere LOCATION '%s'" % old)
        self.source.sql("CREATE TABLESPACE inside LOCATION ''")
        for place in ('elsewhere', 'inside'):
            self.source.sql(
                'CREATE TABLE t_%s TABLESPACE %s AS SELECT i FROM generate_series(1, 50000) i'
                % (place, place),
                'VACUUM t_' + place,
            )
        copies = [os.path.join(self.directory(), 'copy') for _ in range(2)]
        chain = [self.take(None, '-T', '%s=%s' % (old, copies[0]))]
        self.source.sql(
            'UPDATE t_elsewhere SET i = 0 WHERE i = 7', 'UPDATE t_inside SET i = 0 WHERE i = 7'
        )
        chain.append(self.take(chain[0], '-T', '%s=%s' % (old, copies[1])))
        self.assertTrue(self.increments(copies[1]))
        refused = os.path.join(self.directory(), 'whole')
        run = walwire.run('combine', '-o', refused, *chain)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn('-T', run.said)
        self.assertFalse(os.path.exists(refused))
        places = [os.path.join(self.directory(), 'place') for _ in range(2)]
        whole = self.combine(chain, '-T', '%s=%s' % (copies[1], places[0]))
        backups.verify(self, whole)
        theirs = self.combine_with_theirs(chain, '-T', '%s=%s' % (copies[1], places[1]))
        if theirs:
            self.assert_same(whole, theirs)
            self.assertEqual(
                backups.differences(backups.content(places[0]), backups.content(places[1])), []
            )
        restored = backups.restore(self, self.source, whole)
        restored.start()
        for place in ('elsewhere', 'inside'):
            self.assertEqual(restored.sql('SELECT count(*), min(i) FROM t_%s' % place), '50000|0')

    def test_no_chain(self):
        """What is no chain is refused in one line, and nothing is made."""
        full = self.take()
        self.change(1)
        first = self.take(full)
        self.change(2)
        second = self.take(first)
        for chain in ([first], [first, full], [full, second], [full, full], [full, first, first]):
            whole = os.path.join(self.directory(), 'whole')
            run = walwire.run('combine', '-o', whole, *chain)
            self.assertEqual(run.process.returncode, 1)
            self.assert_lines(run, 1)
            self.assertFalse(os.path.exists(whole))

    def test_tar(self):
        """As an archive it is the same."""
        full = self.take(None, '-F', 'tar', '-Z', 'gzip:1')
        self.change(1)
        directory = self.take(full, '-F', 'tar')
        plain = self.directory()
        backups.unpack(os.path.join(directory, 'base.tar'), plain)
        self.assertTrue(self.increments(plain))

    def test_large_manifest(self):
        """A manifest that no buffer holds at once goes up whole."""
        self.source.sql(
            'DO $$ BEGIN FOR i IN 1..3000 LOOP'
            " EXECUTE format('CREATE TABLE many%s (i int)', i);"
            ' END LOOP; END $$',
        )
        full = self.take()
        self.assertGreater(os.path.getsize(os.path.join(full, 'backup_manifest')), 500_000)
        self.take(full)

    def test_refused(self):
        """The manifest of another server, or none at all, is refused by the server."""
        other = self.new_cluster(other_system=True).start()
        directory = self.directory()
        self.assertEqual(backups.take(other, directory).process.returncode, 0)
        broken = os.path.join(self.directory(), 'backup_manifest')
        with open(broken, 'w') as file:
            file.write('{}')
        empty = os.path.join(self.directory(), 'backup_manifest')
        with open(empty, 'w'):
            pass
        for manifest in (os.path.join(directory, 'backup_manifest'), broken, empty):
            os.chmod(manifest, 0o644)
            left = self.directory()
            run = backups.take(self.source, left, '-i', manifest)
            self.assertEqual(run.process.returncode, 1)
            self.assert_lines(run, 1)
            self.assertIn('ERROR XX000', run.said)
            self.assertEqual(os.listdir(left), [])
        # Without summaries there is nothing to find out what changed from.
        run = backups.take(
            other, self.directory(), '-i', os.path.join(directory, 'backup_manifest')
        )
        self.assertEqual(run.process.returncode, 1)
        self.assertIn('55000', run.said)


if __name__ == '__main__':
    live.main()
