#!/usr/bin/env python3
"""What goes wrong between a server and walwire is dealt with: by coming back, or by ending with a
word.

What passes by itself must leave a directory without a gap; what does not must end with exit status
1, one line that names the cause, and a directory in the state in which it was.
"""
import os
import signal
import subprocess
import time

from support import archive, cluster, live, walwire
from support.load import Load


class Disturbances(live.Live):
    def setUp(self):
        self.wal = self.directory()

    def follow(self, source, *options, **more):
        """walwire at work on a directory that holds something."""
        run = walwire.receive(source, self.wal, *options, **more)
        self.addCleanup(run.__exit__)
        run.wait_for('following from')
        return run

    def finish(self, source, run):
        """All that the server has arrives, and it is the server's."""
        last = source.ended_segment()
        walwire.wait_for_file(os.path.join(self.wal, last), run)
        flushed = source.flushed()
        self.assertEqual(run.stop(), 0, run.said)
        self.assertEqual(archive.differences(self.wal, source, flushed), [])
        self.assertEqual(archive.others(self.wal), [])

    def senders(self, source):
        return source.sql("SELECT pid FROM pg_stat_replication WHERE state = 'streaming'")

    def test_idle(self):
        """A server that closes silent connections after a second keeps an idle one for three."""
        source = self.new_cluster({'wal_sender_timeout': '1s'}).start()
        run = self.follow(source)
        before = cluster.wait_until(lambda: self.senders(source), 'the stream')
        time.sleep(3)
        self.assertEqual(self.senders(source), before)
        self.assertEqual(run.said.count('following'), 1)
        self.assertNotIn('timeout', source.logged())
        self.finish(source, run)

    def test_frozen(self):
        """One that stood still for longer was dropped: it comes back by itself."""
        source = self.new_cluster({'wal_sender_timeout': '1s'}).start()
        run = self.follow(source)
        source.grow(2)
        run.pause()
        source.grow(3)
        cluster.wait_until(
            lambda: 'replication timeout' in source.logged(), 'the server to give up'
        )
        said = len(run.said)
        run.resume()
        run.wait_for('following from', said)
        self.finish(source, run)

    def test_slow(self):
        """Under load it stands still again and again, while the server's output is blocked."""
        source = self.new_cluster().start()
        run = self.follow(source)
        with Load(source):
            for _ in range(10):
                run.pause()
                time.sleep(0.05)
                run.resume()
                time.sleep(0.05)
        source.grow(5)
        self.finish(source, run)
        self.assertEqual(run.said.count('following'), 1)

    def restart(self, mode):
        source = self.new_cluster().start()
        run = self.follow(source, '-s', 1)
        for _ in range(3):
            source.grow(2)
            said = len(run.said)
            before = len(archive.whole(self.wal))
            busy = source.start_sql(
                "SELECT pg_logical_emit_message(false, 'live',"
                " repeat('y', 100000)), pg_sleep(0.001)"
                ' FROM generate_series(1, 500);\n'
            )
            cluster.wait_until(lambda: len(archive.whole(self.wal)) > before + 3, 'the stream')
            source.restart(mode)
            busy.wait(cluster.PATIENCE)
            run.wait_for('following from', run.wait_for('trying again', said))
        self.finish(source, run)

    def test_restarted(self):
        """A server that shuts down waits for walwire, does not wait long, and is found again."""
        self.restart('fast')

    def test_crashed(self):
        """So is one that crashes and recovers."""
        self.restart('immediate')

    def test_shutdown(self):
        """A server that shuts down lets no walwire go that has not stored its very last record."""
        source = self.new_cluster().start()
        run = self.follow(source)
        source.grow(1)
        source.stop()
        run.wait_for('trying again')
        self.assertEqual(run.stop(), 0, run.said)
        source.start()
        # The first record after a shutdown's checkpoint is a new one; compare what was before it.
        end = cluster.parse_lsn(source.sql('SELECT redo_lsn FROM pg_control_checkpoint()'))
        self.assertEqual(archive.differences(self.wal, source, end), [])
        last = archive.name(end, source.segment_size)
        self.assertIn(last + '.partial', archive.partial(self.wal))

    def test_not_there_yet(self):
        """No server, then one that starts up and lets nobody in, then one that does."""
        source = self.new_cluster()
        with walwire.receive(source, self.wal) as run:
            run.wait_for('refused', run.wait_for('refused'))
            source.settings['hot_standby'] = 'off'
            source.become_standby()
            source.begin()
            run.wait_for('57P03')
            source.stop()
            os.unlink(os.path.join(source.data, 'standby.signal'))
            source.start()
            run.wait_for('following from')
            self.finish(source, run)

    def test_stopped_while_waiting(self):
        """SIGTERM ends the wait for a server that is not there."""
        source = self.new_cluster()
        with walwire.receive(source, self.wal) as run:
            run.wait_for('trying again', run.wait_for('trying again'))
            self.assertEqual(run.stop(), 0)

    def test_another_cluster(self):
        """A server of another cluster, where ours was, is refused before anything is stored."""
        source = self.new_cluster().start()
        run = self.follow(source)
        source.grow(1)
        walwire.wait_for_file(os.path.join(self.wal, source.ended_segment()), run)
        other = self.new_cluster(other_system=True)
        other.port = source.port
        source.stop()
        run.wait_for('trying again')
        before = archive.state(self.wal)
        said = len(run.said)
        other.start()
        self.assertEqual(run.wait(), 1)
        self.assertIn('another cluster', run.said[said:])
        self.assertEqual(archive.state(self.wal), before)

    def test_log_of_another_cluster(self):
        """What is on disk belongs to one cluster; another is refused also by a walwire that has
        just been started, and nothing is written."""
        source = self.new_cluster().start()
        other = self.new_cluster(other_system=True).start()
        systems = [
            each.sql('SELECT system_identifier FROM pg_control_system()')
            for each in (source, other)
        ]
        run = self.follow(source)
        source.grow(1)
        walwire.wait_for_file(os.path.join(self.wal, source.ended_segment()), run)
        self.assertEqual(run.stop(), 0, run.said)
        before = archive.state(self.wal)
        other.grow(8)  # its log goes on behind ours
        self.assertGreater(other.flushed(), source.flushed())
        run = walwire.run('receive', '-d', other.conninfo(), '-D', self.wal)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn(
            'holds the log of another cluster (system identifier %s, the server\'s is %s)'
            % tuple(systems),
            run.said,
        )
        self.assertIn('127.0.0.1:%d' % other.port, run.said)
        self.assertEqual(archive.state(self.wal), before)
        self.finish(source, self.follow(source))

    def test_no_password(self):
        """Whose password is missing is said."""
        source = self.new_cluster()
        path = os.path.join(source.data, 'pg_hba.conf')
        with open(path) as file:
            trusting = file.read()
        with open(path, 'w') as file:
            file.write('host replication asks 127.0.0.1/32 scram-sha-256\n' + trusting)
        source.start()
        source.sql("CREATE ROLE asks REPLICATION LOGIN PASSWORD 'x'")
        run = walwire.run('receive', '-d', source.conninfo(user='asks'), '-D', self.wal)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn('127.0.0.1:%d: the server asks for a password' % source.port, run.said)

    def test_end_is_there(self):
        """An end that is on disk already ends it at once, as it does pg_receivewal."""
        source = self.new_cluster().start()
        run = self.follow(source)
        source.grow(1)
        last = source.ended_segment()
        walwire.wait_for_file(os.path.join(self.wal, last), run)
        self.assertEqual(run.stop(), 0, run.said)
        before = archive.whole(self.wal)
        end = (archive.number(last, source.segment_size) + 1) * source.segment_size
        for at in (end, end - 4096):
            run = walwire.receive(source, self.wal, '-E', cluster.format_lsn(at))
            self.addCleanup(run.__exit__)
            self.assertEqual(run.wait(), 0, run.said)
            self.assertEqual(archive.whole(self.wal), before)

    def test_history_is_there(self):
        """A history that is on disk is not asked for, so that a server may have forgotten it."""
        source = self.new_cluster().start()
        source.stop()
        source.become_standby()
        source.start()
        source.promote()
        run = self.follow(source)
        source.grow(1)
        walwire.wait_for_file(os.path.join(self.wal, source.ended_segment()), run)
        self.assertEqual(run.stop(), 0, run.said)
        self.assertIn('00000002.history', os.listdir(self.wal))
        os.unlink(source.wal('00000002.history'))
        self.finish(source, self.follow(source))

    def test_group(self):
        """A server whose files its group may read gets files of that kind; the directory stays."""
        source = self.new_cluster()
        for directory, _, names in os.walk(source.data):
            os.chmod(directory, 0o750)
            for name in names:
                os.chmod(os.path.join(directory, name), 0o640)
        for mode, expected in ((0o750, 0o640), (0o700, 0o600)):
            os.chmod(source.data, mode)
            os.chmod(self.wal, 0o700)
            source.start()
            self.assertEqual(source.sql('SHOW data_directory_mode'), '%04o' % mode)
            run = self.follow(source)
            source.grow(1)
            walwire.wait_for_file(os.path.join(self.wal, source.ended_segment()), run)
            self.assertEqual(run.stop(), 0, run.said)
            names = archive.whole(self.wal)
            self.assertEqual(self.mode(names[-1]), expected)
            self.assertEqual(self.mode('.'), 0o700)
            source.stop()
            self.wal = self.directory()

    def mode(self, name):
        return os.stat(os.path.join(self.wal, name)).st_mode & 0o777

    def test_full_disk(self):
        """A full disk ends it, nothing is reported that is not there, and room is all it needs."""
        size = 4 << 20
        mounted = (
            subprocess.run(
                ['mount', '-t', 'tmpfs', '-o', 'size=%d,mode=777' % size, 'walwire', self.wal],
                stderr=subprocess.DEVNULL,
            ).returncode
            == 0
        )
        if not mounted:
            print('(SKIPPED: no right to mount a small disk) ', end='')
            self.skipTest('no right to mount a small disk')
        self.addCleanup(subprocess.run, ['umount', '-l', self.wal], check=True)
        source = self.new_cluster().start()
        source.sql("SELECT pg_create_physical_replication_slot('live', true)")
        words = ['receive', '-d', source.conninfo(), '-D', self.wal, '-S', 'live', '-s', '1']
        with walwire.Walwire(*words) as run:
            cluster.wait_until(lambda: archive.partial(self.wal), 'the first segment')
            source.grow(8)
            self.assertEqual(run.wait(), 1)
            self.assert_lines(run, 1)
            self.assertIn('No space left on device', run.said)
            self.assertRegex(
                run.said, r'^walwire: 127\.0\.0\.1:%d, at 0/[0-9A-F]+: could not ' % source.port
            )
        self.assertEqual(archive.differences(self.wal, source, 0), [])
        self.assertEqual(archive.others(self.wal), [])
        restart = cluster.parse_lsn(source.sql('SELECT restart_lsn FROM pg_replication_slots'))
        last = archive.number(archive.whole(self.wal)[-1], source.segment_size)
        self.assertLessEqual(restart, (last + 1) * source.segment_size)
        # Still full: the same again.
        again = walwire.run(*words)
        self.assertEqual(again.process.returncode, 1)
        self.assert_lines(again, 1)
        subprocess.run(['mount', '-o', 'remount,size=64m', self.wal], check=True)
        self.finish(source, self.follow(source, '-S', 'live'))

    def test_unwritable(self):
        """A directory that is missing, closed to us, or taken by another walwire."""
        source = self.new_cluster().start()
        os.chmod(self.wal, 0o555)
        for path, said in (
            (self.wal, 'Permission denied'),
            (self.wal + '-missing', 'No such file or directory'),
        ):
            run = walwire.run('receive', '-d', source.conninfo(), '-D', path)
            self.assertEqual(run.process.returncode, 1)
            self.assert_lines(run, 1)
            self.assertIn(said, run.said)
        os.chmod(self.wal, 0o700)
        first = self.follow(source)
        run = walwire.run('receive', '-d', source.conninfo(), '-D', self.wal)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn('in use by another walwire', run.said)
        self.finish(source, first)

    def test_signals(self):
        """SIGINT and SIGTERM: exit status 0, a farewell to the server, and all that came is
        kept."""
        source = self.new_cluster().start()
        for number in (signal.SIGINT, signal.SIGTERM):
            run = self.follow(source, '-s', 1)
            source.grow(2)
            flushed = source.flushed()
            cluster.wait_until(
                lambda: source.sql(
                    "SELECT count(*) FROM pg_stat_replication WHERE write_lsn >= '%s'"
                    % cluster.format_lsn(flushed)
                )
                == '1',
                'the WAL to be reported',
            )
            self.assertEqual(run.stop(number), 0, run.said)
            self.assertEqual(archive.differences(self.wal, source, flushed), [])
            cluster.wait_until(lambda: self.senders(source) == '', 'the server to notice')
        self.assertNotIn('unexpected EOF', source.logged())


class Figures(live.Live):
    def test_metrics(self):
        """--metrics keeps a file for Prometheus that is true while walwire runs and when it has
        ended."""
        source = self.new_cluster().start()
        directory = self.directory()
        file = os.path.join(self.directory(), 'walwire.prom')
        with walwire.receive(source, directory, '-s', 1, '--metrics', file) as run:
            run.wait_for('following from')
            source.grow(3)
            last = source.ended_segment()
            end = (archive.number(last, source.segment_size) + 1) * source.segment_size
            cluster.wait_until(
                lambda: self.read(file).get('wal_receiver_flush_lsn') == end,
                'the figures to be right',
            )
            said = len(run.said)
            source.restart()
            run.wait_for('following from', said)
            source.grow(1)
            flushed = source.flushed()
            cluster.wait_until(
                lambda: self.read(file)['wal_receiver_write_lsn'] >= flushed, 'the new position'
            )
            figures = self.read(file)
            self.assertEqual(figures['runtime_sessions_started'], 2)
            self.assertEqual(figures['runtime_reconnects'], 1)
            self.assertEqual(run.stop(), 0, run.said)
        figures = self.read(file)
        self.assertLessEqual(figures['wal_receiver_flush_lsn'], figures['wal_receiver_write_lsn'])
        # A server that shuts down ends its session as properly as we end ours.
        self.assertEqual(figures['runtime_sessions_succeeded'], 2)
        self.assertEqual(figures['runtime_sessions_failed'], 0)
        self.assertGreater(figures['runtime_standby_status_updates_sent'], 3)
        first = archive.number(archive.whole(directory)[0], source.segment_size)
        self.assertGreaterEqual(
            figures['runtime_wal_bytes_received'],
            figures['wal_receiver_write_lsn'] - first * source.segment_size,
        )
        self.assertLess(abs(figures['runtime_last_session_started_at_us'] / 1e6 - time.time()), 60)

    def test_metrics_unwritable(self):
        """Figures that cannot be kept at first are refused; what goes wrong later is told once,
        and does not end the stream."""
        source = self.new_cluster().start()
        directory = self.directory()
        folder = os.path.join(self.directory(), 'figures')
        file = os.path.join(folder, 'walwire.prom')
        words = ['receive', '-d', source.conninfo(), '-D', directory, '--metrics', file]
        run = walwire.run(*words)
        self.assertEqual(run.process.returncode, 1)
        self.assert_lines(run, 1)
        self.assertIn(file, run.said)
        self.assertEqual(os.listdir(directory), [])

        os.mkdir(folder)
        cluster.own(folder)
        with walwire.Walwire(*words) as run:
            cluster.wait_until(lambda: self.read(file), 'the figures')
            os.rename(folder, folder + '.away')
            run.wait_for('the figures are not kept')
            time.sleep(2.5)
            self.assert_lines(run, 1)
            self.assertIn(file, run.said)
            source.grow(1)
            walwire.wait_for_file(os.path.join(directory, source.ended_segment()), run)
            flushed = source.flushed()
            os.rename(folder + '.away', folder)
            cluster.wait_until(
                lambda: self.read(file)['wal_receiver_write_lsn'] >= flushed, 'the new figures'
            )
            os.rename(folder, folder + '.away')
            run.wait_for('the figures are not kept', len(run.said))
            self.assertEqual(run.stop(), 0, run.said)
            self.assert_lines(run, 2)
        self.assertEqual(archive.differences(directory, source, flushed), [])

    def read(self, path):
        """The figures of the file, whose every line must be of the format."""
        try:
            with open(path) as file:
                lines = file.read().split('\n')
        except FileNotFoundError:
            return {}
        self.assertEqual(lines.pop(), '')
        figures = {}
        for about, kind, value in zip(lines[::3], lines[1::3], lines[2::3]):
            name, number = value.split(' ')
            self.assertTrue(name.startswith('walwire_replica_'), name)
            self.assertTrue(about.startswith('# HELP %s ' % name), about)
            self.assertIn(kind, ('# TYPE %s counter' % name, '# TYPE %s gauge' % name))
            figures[name.removeprefix('walwire_replica_')] = int(number)
        self.assertEqual(len(lines), 3 * len(figures))
        return figures

    def test_identify(self):
        """`walwire identify` says who is there, as the server itself does."""
        source = self.new_cluster().start()
        run = walwire.run('identify', '-d', source.conninfo())
        self.assertEqual((run.process.returncode, run.said), (0, ''))
        said = dict(line.split('  ', 1) for line in run.printed.splitlines())
        said = {key.strip(): value.strip() for key, value in said.items()}
        self.assertEqual(
            said['system identifier'],
            source.sql('SELECT system_identifier FROM pg_control_system()'),
        )
        self.assertEqual(said['timeline'], '1')
        self.assertEqual(cluster.parse_lsn(said['position']), source.flushed())
        self.assertEqual(said['database'], '-')


if __name__ == '__main__':
    live.main(few=True)
