#!/usr/bin/env python3
"""Whatever kills walwire, and whoever worked on its directory before, no byte is lost or doubled.

It is killed with SIGKILL at random moments under load and started again, and takes turns with the
real pg_receivewal on one directory. At the end the directory must be what the server wrote. The
seed of the random moments is printed; WALWIRE_SEED repeats a run.
"""
import os
import random
import signal
import subprocess
import time

from support import archive, cluster, installed, live, walwire
from support.load import Load

SEED = int(os.environ.get('WALWIRE_SEED') or random.SystemRandom().randrange(1 << 32))
KILLS = 15


class Resume(live.Live):
    def finish(self, source, directory, *options):
        """Lets walwire fetch what is missing and compares everything."""
        last = source.ended_segment()
        with walwire.receive(source, directory, *options) as run:
            walwire.wait_for_file(os.path.join(directory, last), run)
            flushed = source.flushed()
            self.assertEqual(run.stop(), 0, run.said)
        self.assertEqual(archive.differences(directory, source, flushed), [])
        left = [name for name in archive.others(directory) if not name.endswith('.tmp')]
        self.assertEqual(left, [])

    def kill_again_and_again(self, options):
        """Kills at moments from before it can have connected to well into the stream."""
        source = self.new_cluster().start()
        directory = self.directory()
        chance = random.Random(SEED + self.server.major)
        source.sql("SELECT pg_create_physical_replication_slot('live', true)")
        beginning = source.sql('SELECT pg_walfile_name(pg_current_wal_lsn())')
        with walwire.receive(source, directory, *options) as run:
            walwire.wait_for_file(os.path.join(directory, beginning + '.partial'), run)
            run.kill()
        with Load(source):
            for _ in range(KILLS):
                with walwire.receive(source, directory, *options) as run:
                    if chance.random() < 0.7:
                        run.wait_for('following from')
                    time.sleep(chance.uniform(0, 0.12))
                    self.assertIsNone(run.process.poll(), run.said)
                    run.kill()
        self.finish(source, directory, *options)
        self.assertEqual(archive.whole(directory)[0], beginning)
        self.assertGreater(len(archive.whole(directory)), 3)

    def test_killed(self):
        """SIGKILL, fifteen times, with a slot."""
        print('(seed %d) ' % SEED, end='', flush=True)
        self.kill_again_and_again(['-S', 'live', '-s', 1])

    def test_killed_synchronous(self):
        """The same when each piece is synced and reported at once, so that restarts begin late."""
        print('(seed %d) ' % SEED, end='', flush=True)
        self.kill_again_and_again(['-S', 'live', '--synchronous'])

    def receivewal(self, tool, source, directory, number):
        """One turn of the real program's, of a few segments, ended by a signal."""
        before = len(archive.whole(directory))
        process = cluster.start_process(
            [tool.program('pg_receivewal'), '-d', source.conninfo(), '-D', directory, '-n'],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            cluster.wait_until(
                lambda: len(archive.whole(directory)) > before + 1 or process.poll() is not None,
                "pg_receivewal's turn",
            )
            self.assertIsNone(process.poll())
            while number == signal.SIGKILL and not self.whole_partial(source, directory, process):
                process.send_signal(signal.SIGCONT)
        finally:
            process.send_signal(number)
            process.wait(cluster.PATIENCE)

    def whole_partial(self, source, directory, process):
        """Stops pg_receivewal and says whether it stands between two steps. Killed while it fills
        a new file with zeros it leaves a short one, with which neither program goes on."""
        process.send_signal(signal.SIGSTOP)
        cluster.wait_until(lambda: cluster.stands_still(process), 'pg_receivewal to stand still')
        return all(
            os.path.getsize(os.path.join(directory, name)) == source.segment_size
            for name in archive.partial(directory)
        )

    def walwire(self, source, directory, number):
        before = len(archive.whole(directory))
        with walwire.receive(source, directory) as run:
            cluster.wait_until(
                lambda: len(archive.whole(directory)) > before + 1
                or run.process.poll() is not None,
                "walwire's turn",
            )
            self.assertIsNone(run.process.poll(), run.said)
            run.send(number)
            run.process.wait(cluster.PATIENCE)

    def test_turns(self):
        """walwire and each pg_receivewal there is, in both orders, stopped and killed."""
        tools = installed.with_program('pg_receivewal', self.server.major)
        if not tools:
            self.skipTest('there is no pg_receivewal for %d' % self.server.major)
        source = self.new_cluster().start()
        for first in ('walwire', 'pg_receivewal'):
            directory = self.directory()
            with Load(source):
                for number in (signal.SIGINT, signal.SIGKILL):
                    for tool in tools:
                        if first == 'walwire':
                            self.walwire(source, directory, number)
                            self.receivewal(tool, source, directory, number)
                        else:
                            self.receivewal(tool, source, directory, number)
                            self.walwire(source, directory, number)
            self.finish(source, directory)


if __name__ == '__main__':
    live.main(few=True)
