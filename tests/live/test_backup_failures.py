#!/usr/bin/env python3
"""A backup that is not one leaves nothing behind: whatever ends it, walwire says why in one line,
removes what it made, and touches nothing that was there before.
"""
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

from support import backups, cluster, live, walwire


class Failures(live.Live):
    """With a tablespace, and slow enough to be disturbed: it takes about a second."""

    @classmethod
    def setUpClass(cls):
        cls.source = cls.make_cluster().start()
        cls.tablespace = cluster.directory('tablespace')
        cls.source.sql("CREATE TABLESPACE t LOCATION '%s'" % cls.tablespace)
        cls.source.sql(
            'CREATE TABLE moved TABLESPACE t AS SELECT i, md5(i::text) FROM'
            ' generate_series(1, 20000) i'
        )
        cls.addClassCleanup(shutil.rmtree, cls.tablespace)

    def setUp(self):
        self.top = self.directory()
        self.backup = os.path.join(self.top, 'new', 'backup')
        self.mapped = os.path.join(self.top, 'mapped')

    def options(self, *more, rate='24M'):
        return [*('-T', '%s=%s' % (self.tablespace, self.mapped), '-r', rate), *more]

    def begin(self, *more, **options):
        """A backup that is under way."""
        run = walwire.Walwire(
            *backups.words(self.source, self.backup, *self.options(*more, **options))
        )
        self.addCleanup(run.__exit__)
        return run

    def check_failed(self, run, *said):
        self.assertEqual(run.wait(), 1, run.said)
        self.assert_lines(run, 1)
        for each in said:
            self.assertIn(each, run.said)

    def check_nothing_left(self):
        self.assertEqual(os.listdir(self.top), [])

    def pause(self):
        """A moment during the backup, or before it has begun in earnest."""
        time.sleep(random.uniform(0, 0.9))

    def test_interrupted(self):
        """By a signal, at any moment."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 2:
            run = self.begin()
            self.pause()
            run.send(number)
            if run.wait() == 0:
                shutil.rmtree(os.path.join(self.top, 'new'))
                shutil.rmtree(self.mapped)
                continue
            if run.process.returncode != -number:  # it had not even begun
                self.check_failed(run, 'interrupted')
            self.check_nothing_left()

    def test_interrupted_tar(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            directory = self.directory()
            words = backups.words(self.source, directory, '-F', 'tar', '-r', '8M')
            with walwire.Walwire(*words) as run:
                walwire.wait_for_file(os.path.join(directory, 'base.tar'), run)
                run.send(number)
                self.check_failed(run, 'interrupted')
            self.assertEqual(os.listdir(directory), [])

    def test_interrupted_late(self):
        """By a signal that is noticed only when the server has no more to say: while we were about
        to show its last warning to somebody who reads slowly."""
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        # Room for the two lines that -v has at the start, and not for the server's last notice,
        # which it has where the WAL is left to others.
        os.write(writing, b' ' * (4096 - 250))
        options = self.options('-X', 'none', '--no-manifest', '-v')
        words = backups.words(self.source, self.backup, *options)
        process = cluster.start_process([walwire.program(), *words], stderr=writing)
        os.close(writing)
        cluster.wait_until(
            lambda: self.source.sql(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'walwire'"
                " AND wait_event = 'ClientRead'"
            )
            and os.path.exists(os.path.join(self.backup, 'backup_label')),
            'the server to be done',
        )
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        with os.fdopen(reading, 'rb') as file:
            said = file.read().decode().strip()
        self.assertEqual(process.wait(cluster.PATIENCE), 1, said)
        self.assertTrue(said.endswith("walwire: interrupted"), said)
        self.check_nothing_left()

    def test_nobody_listens(self):
        """Who read its messages is gone when it is interrupted: it cleans up all the same."""
        reading, writing = os.pipe()
        words = backups.words(self.source, self.backup, *self.options('-P', rate='4M'))
        process = cluster.start_process([walwire.program(), *words], stderr=writing)
        os.close(writing)
        os.close(reading)
        cluster.wait_until(
            lambda: os.path.exists(os.path.join(self.backup, 'backup_label')), 'the first file'
        )
        process.send_signal(signal.SIGHUP)
        self.assertNotEqual(process.wait(cluster.PATIENCE), 0)
        self.check_nothing_left()

    def test_left(self):
        """With --no-clean what there is stays."""
        run = self.begin('--no-clean', rate='4M')
        walwire.wait_for_file(os.path.join(self.backup, 'backup_label'), run)
        run.send(signal.SIGINT)
        self.check_failed(run, 'interrupted')
        self.assertTrue(os.path.exists(os.path.join(self.backup, 'backup_label')))
        self.assertFalse(os.path.exists(os.path.join(self.backup, 'backup_manifest')))
        self.assertTrue(os.listdir(self.mapped))

    def test_others(self):
        """What was there before, and what somebody puts there meanwhile, is not touched."""
        for path in (self.backup, self.mapped):
            cluster.run_process(['mkdir', '-p', path])
        run = self.begin(rate='4M')
        walwire.wait_for_file(os.path.join(self.backup, 'backup_label'), run)
        with open(os.path.join(self.backup, 'theirs'), 'w') as file:
            file.write('theirs')
        run.send(signal.SIGTERM)
        self.check_failed(run, 'interrupted')
        self.assertEqual(os.listdir(self.backup), ['theirs'])
        self.assertEqual(os.listdir(self.mapped), [])

    def test_killed(self):
        """One that was killed has no manifest, and is in the way of the next."""
        run = self.begin(rate='4M')
        walwire.wait_for_file(os.path.join(self.backup, 'backup_label'), run)
        run.kill()
        self.assertFalse(os.path.exists(os.path.join(self.backup, 'backup_manifest')))
        before = sorted(os.listdir(self.backup))
        again = backups.take(self.source, self.backup, *self.options())
        self.check_failed(again, '"%s" is not empty' % self.backup)
        self.assertEqual(sorted(os.listdir(self.backup)), before)

    def test_killed_anywhere(self):
        """Killed at any moment it leaves a whole backup or one without a manifest."""
        seed = random.randrange(1 << 32)
        moments = random.Random(seed)
        for _ in range(6):
            self.setUp()
            run = self.begin(rate='100M')
            time.sleep(moments.uniform(0, 0.5))
            run.kill()
            if os.path.exists(os.path.join(self.backup, 'backup_manifest')):
                with self.subTest(seed=seed):
                    backups.verify(self, self.backup)

    def test_server_gone(self):
        """The server crashes, or shuts down, at any moment."""
        source = self.source
        try:
            for mode in ('immediate', 'fast') * 2:
                run = self.begin()
                self.pause()
                source.stop(mode)
                if run.wait() == 0:
                    shutil.rmtree(os.path.join(self.top, 'new'))
                    shutil.rmtree(self.mapped)
                else:
                    self.check_failed(run)
                    self.check_nothing_left()
                source.start()
        finally:
            if source.process is None:
                source.start()

    def end_sender(self, command):
        """Ends one of the two server processes that work for a backup; gives the run."""
        run = self.begin(rate='4M')
        walwire.wait_for_file(os.path.join(self.backup, 'backup_label'), run)
        wanted = (
            "SELECT pid FROM pg_stat_replication WHERE application_name = 'walwire'"
            " AND state = '%s'" % command
        )
        pid = cluster.wait_until(lambda: self.source.sql(wanted), 'the server process')
        self.source.sql('SELECT pg_terminate_backend(%s)' % pid)
        return run

    def test_stream_gone(self):
        """The connection that brings the WAL is ended: the backup is not worth going on with."""
        self.check_failed(self.end_sender('streaming'), 'the stream of WAL from', '57P01')
        self.check_nothing_left()

    def test_backup_gone(self):
        """The one that brings the backup is."""
        self.check_failed(self.end_sender('backup'), '57P01')
        self.check_nothing_left()

    def test_not_empty(self):
        """A directory that holds something is refused, and so is a tablespace's."""
        for name in ('new', 'mapped'):
            self.setUp()
            cluster.run_process(['mkdir', '-p', self.backup, self.mapped])
            held = self.backup if name == 'new' else self.mapped
            with open(os.path.join(held, 'mine'), 'w') as file:
                file.write('mine')
            before = backups.content(self.top)
            run = backups.take(self.source, self.backup, *self.options())
            self.check_failed(run, '"%s" is not empty' % held)
            self.assertEqual(backups.content(self.top), before)

    def test_places(self):
        """Where a tablespace goes is the user's to say, and to say rightly."""
        before = backups.content(self.tablespace)
        inside = os.path.join(self.backup, 'base')
        for options, said in (
            ([], 'no place here for tablespace "%s" (give it one by -T)' % self.tablespace),
            (['-T', '/srv/none=' + self.mapped], 'no place here for'),
            ([*self.options(), '-T', '/srv/none=/srv/here'], '"/srv/none"'),
            (['-T', '%s=%s' % (self.tablespace, self.backup)], 'something else of the backup'),
            (['-T', '%s=%s' % (self.tablespace, inside)], 'something else of the backup'),
            (['-T', '%s=%s' % (self.tablespace, self.tablespace)], 'is not empty'),
        ):
            run = backups.take(self.source, self.backup, *options)
            self.check_failed(run, said)
            self.check_nothing_left()
        self.assertEqual(backups.content(self.tablespace), before)

    def test_not_writable(self):
        """Nothing can be made where nobody may."""
        self.backup = os.path.join(self.top, 'backup')
        os.chmod(self.top, 0o555)
        run = backups.take(self.source, self.backup)
        self.check_failed(run, 'Permission denied')
        os.chmod(self.top, 0o700)
        self.check_nothing_left()

    def test_not_possible(self):
        """What this server cannot do, or nobody lets us do."""
        asked = [(['-d', self.source.conninfo(user='nobody_knows_me')], '28000')]
        if self.server.major < 15:
            asked.append((['-Z', 'gzip'], 'compresses no backups (15 does)'))
        if self.server.major < 17:
            asked.append((['-i', __file__], 'has no incremental backups (17 has)'))
        asked.append((['-i', '/nowhere/backup_manifest'], 'No such file'))
        asked.append((['-l', 'x' * 2000], ''))
        for options, said in asked:
            run = backups.take(self.source, self.backup, *self.options(*options))
            self.check_failed(run, said)
            self.check_nothing_left()

    def test_full_disk(self):
        """A full disk ends it, and is as empty again as it was."""
        mounted = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=8m,mode=777', 'walwire', self.top],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if mounted.returncode != 0:
            print('(SKIPPED: no right to mount a small disk) ', end='')
            self.skipTest('no right to mount a small disk')
        self.addCleanup(subprocess.run, ['umount', '-l', self.top], check=True)
        for options in (self.options(rate='1G'), ['-F', 'tar']):
            if '-r' in options:
                options = options[:2]
            run = backups.take(self.source, self.backup, *options)
            self.check_failed(run, 'No space left on device')
            self.check_nothing_left()


class Damage(live.Live):
    def test_checksums(self):
        """A page whose checksum is wrong makes the backup one that failed, unless nobody wants to
        know."""
        source = self.new_cluster()
        shutil.rmtree(source.data)
        cluster.run_process(
            [
                self.server.program('initdb'),
                *('-D', source.data, '-U', 'postgres', '-A', 'trust', '--locale=C', '--no-sync'),
                *('--data-checksums', '--wal-segsize=1'),
            ]
        )
        source.start()
        source.sql('CREATE TABLE damaged AS SELECT i FROM generate_series(1, 10000) i')
        path = os.path.join(source.data, source.sql("SELECT pg_relation_filepath('damaged')"))
        source.stop()
        with open(path, 'r+b') as file:
            file.seek(2 * 8192 + 4000)
            file.write(b'damage')
        source.start()
        for form in ('plain', 'tar'):
            directory = self.directory()
            run = backups.take(source, directory, '-F', form)
            self.assertEqual(run.process.returncode, 1)
            lines = run.said.splitlines()
            self.assertIn('XX001', lines[-1])
            self.assertTrue(all('WARNING' in line for line in lines[:-1]), run.said)
            self.assertEqual(os.listdir(directory), [])
        run = backups.take(source, directory, '--no-verify-checksums')
        self.assertEqual(run.process.returncode, 0, run.said)
        if self.server.major >= 13:
            self.assertEqual(run.said, '')


class Liar:
    """Stands between a client and a server, and changes a word of what the server says."""

    def __init__(self, source, word, other):
        self.source, self.word, self.other = source, word, other
        self.changed = 0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(('127.0.0.1', self.source.port))
                threading.Thread(target=self.pump, args=(client, server), daemon=True).start()
                threading.Thread(target=self.pump, args=(server, client), daemon=True).start()

    def pump(self, source, target):
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                self.changed += data.count(self.word)
                target.sendall(data.replace(self.word, self.other))
            target.shutdown(socket.SHUT_WR)

    def conninfo(self):
        return self.source.conninfo(port=self.port)

    def close(self):
        self.listener.close()


class Verified(live.Live):
    def take(self, word, other, *options):
        """A backup of which one word was changed on its way."""
        source = self.new_cluster().start()
        source.sql("CREATE TABLE honest AS SELECT 'truthful'::text FROM generate_series(1, 1000)")
        self.path = source.sql("SELECT pg_relation_filepath('honest')")
        liar = Liar(source, word, other)
        self.addCleanup(liar.close)
        self.left = self.directory()
        run = backups.take(liar, self.left, '-X', 'none', *options)
        self.assertGreater(liar.changed, 0)
        return run

    def check_refused(self, run, *said):
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        for each in said:
            self.assertIn(each, run.said)
        self.assertEqual(os.listdir(self.left), [])

    def test_changed_file(self):
        """What is changed on its way does not pass, where there is a manifest, in any format."""
        for options in ((), ('-F', 'tar')):
            run = self.take(b'truthful', b'deceitfu', *options)
            if self.server.major < 13:
                self.assertEqual(run.process.returncode, 0, run.said)
                self.assertIn('nothing was verified', run.said)
                continue
            self.check_refused(run, 'another checksum', '"%s"' % self.path)

    def test_changed_name(self):
        """Nor does a file under another name, nor a manifest that was changed."""
        if self.server.major < 13:
            self.skipTest('no manifests')
        self.check_refused(self.take(b'PG_VERSION\0\0', b'PG_VIRTUE\0\0\0'), 'checksum')
        self.check_refused(self.take(b'"Files":', b'"Fails":'), "the backup's manifest, at byte")
        self.check_refused(self.take(b'"Last-Modified": "2', b'"Last-Modified": "3'), 'manifest')


if __name__ == '__main__':
    live.main(few=True)
