#!/usr/bin/env python3
"""PostgreSQL's own standbys follow `walwire serve` as they follow a primary.

Between the primary and the standby there is nothing but a directory: `walwire receive` fills it and
`walwire serve` serves it. A standby recovers from there, keeps streaming, answers queries with the
newest rows, comes back when either end was away, follows a promotion, and can be promoted in the
end.
"""
import os
import shutil

from support import archive, cluster, installed, live, relay, walwire


class ServeStandby(live.Live):
    def relayed(self, *options):
        """A primary, a relay of its WAL, and a standby that knows nothing but the relay."""
        primary = self.new_cluster().start()
        primary.sql('CREATE TABLE rows (i int)')
        receive, serve = relay.begin(self, primary, *options)
        primary.stop()
        standby = self.new_cluster(like=primary)
        standby.settings['wal_retrieve_retry_interval'] = '200ms'
        standby.settings['primary_conninfo'] = serve.conninfo(user='standby')
        standby.become_standby()
        primary.start()
        standby.start()
        return primary, receive, serve, standby

    def assert_arrives(self, primary, standby, number, *runs):
        """A new row of the primary's is seen on the standby."""
        primary.sql('INSERT INTO rows VALUES (%d)' % number)
        try:
            cluster.wait_until(
                lambda: standby.sql('SELECT max(i) FROM rows') == str(number),
                'row %d to arrive' % number,
            )
        except AssertionError as late:
            said = '\n'.join(run.said for run in runs)
            raise AssertionError('%s\n%s\n%s' % (late, said, standby.logged()[-3000:])) from None

    def test_standby(self):
        """It follows, also across restarts of all that stands between, and is promoted."""
        primary, receive, serve, standby = self.relayed()
        self.assert_arrives(primary, standby, 1, receive, serve)
        primary.grow(4)
        self.assert_arrives(primary, standby, 2, receive, serve)
        self.assertEqual(standby.sql('SELECT count(*) FROM pg_stat_wal_receiver'), '1')

        # The relay goes away and comes back; the primary goes on meanwhile.
        self.assertEqual(serve.stop(), 0, serve.said)
        primary.grow(2)
        again = relay.Serve(serve.directory, port=serve.port)
        self.addCleanup(again.__exit__)
        self.assert_arrives(primary, standby, 3, receive, again)

        # The standby goes away and comes back.
        standby.stop()
        primary.grow(2)
        standby.start()
        self.assert_arrives(primary, standby, 4, receive, again)

        # The primary is gone for good.
        primary.sql('INSERT INTO rows VALUES (5)')
        primary.stop()
        cluster.wait_until(
            lambda: standby.sql('SELECT max(i) FROM rows') == '5', 'the last row to arrive'
        )
        standby.promote()
        standby.sql('INSERT INTO rows VALUES (6)')
        self.assertEqual(standby.sql('SELECT sum(i) FROM rows'), '21')
        self.assertEqual(again.stop(), 0, again.said)

    def test_slot(self):
        """It streams with a slot of the relay's, which moves with it and is kept in a file."""
        slots = os.path.join(self.directory(), 'slots')
        primary, receive, serve, standby = self.relayed('--slots', slots)
        self.assertEqual(
            serve.ask('CREATE_REPLICATION_SLOT standby PHYSICAL')[0].split('|')[0], 'standby'
        )
        standby.stop()
        standby.settings['primary_slot_name'] = 'standby'
        standby.start()
        self.assert_arrives(primary, standby, 1, receive, serve)
        primary.grow(2)
        self.assert_arrives(primary, standby, 2, receive, serve)
        at = primary.flushed()
        self.assertIn(
            'replication slot "standby" is active',
            '\n'.join(serve.ask('DROP_REPLICATION_SLOT standby')),
        )

        def kept():
            with open(slots, encoding='ascii') as file:
                name, position = file.read().splitlines()[1].split(' ')[:2]
            return name == 'standby' and position != '-' and cluster.parse_lsn(position) >= at

        cluster.wait_until(kept, 'the slot to move')
        standby.stop()
        self.assertEqual(serve.stop(), 0, serve.said)

        again = relay.Serve(serve.directory, '--slots', slots)
        self.addCleanup(again.__exit__)
        if self.server.major >= 15:
            found = again.ask('READ_REPLICATION_SLOT standby')[0].split('|')
            self.assertEqual((found[0], found[2]), ('physical', '1'))
            self.assertGreaterEqual(cluster.parse_lsn(found[1]), at)
        dropped = again.ask('DROP_REPLICATION_SLOT standby', 'DROP_REPLICATION_SLOT standby')
        self.assertEqual(dropped[-1], 'ERROR:  replication slot "standby" does not exist')

    def test_promotion(self):
        """The source of the relay is promoted: the standby follows, and so do the directories of
        `walwire receive` and of every pg_receivewal."""
        primary = self.new_cluster().start()
        primary.sql('CREATE TABLE rows (i int)')
        primary.stop()
        source = self.new_cluster(like=primary)
        source.follow(primary)
        primary.start()
        source.start()
        receive, serve = relay.begin(self, source)
        primary.stop()
        standby = self.new_cluster(like=primary)
        standby.settings['wal_retrieve_retry_interval'] = '200ms'
        standby.settings['primary_conninfo'] = serve.conninfo()
        standby.become_standby()
        primary.start()
        standby.start()
        self.assert_arrives(primary, standby, 1, receive, serve)

        tools = installed.with_program('pg_receivewal', self.server.major)
        self.assertTrue(tools)
        kept = [(tool, self.directory()) for tool in tools]
        theirs = [relay.Receivewal(tool, serve.conninfo(), path) for tool, path in kept]
        for run in theirs:
            self.addCleanup(run.__exit__)
        cluster.wait_until(
            lambda: all(archive.partial(path) for _, path in kept), 'pg_receivewal to begin'
        )
        directory, late = self.directory(), self.directory()
        with walwire.receive(serve.conninfo(), directory, '-s', 1) as below:
            below.wait_for('on timeline 1')
            primary.grow(2)
            self.assert_arrives(primary, standby, 2, receive, serve)
            primary.stop()
            source.promote()
            self.assert_arrives(source, standby, 3, receive, serve, below)
            source.grow(2)
            last = source.ended_segment()
            walwire.wait_for_file(os.path.join(directory, last), below, serve, receive)
            self.assert_arrives(source, standby, 4, receive, serve, below)
            self.assertEqual(below.stop(), 0, below.said)
        self.compare(directory, source)
        for run, (_, path) in zip(theirs, kept):
            walwire.wait_for_file(os.path.join(path, last), run, serve)
            self.assertEqual(run.stop(), 0, run.said)
            self.assertIn('switched to timeline 2', run.said)
            self.compare(path, source)

        # Whoever comes later goes through the old timeline, too.
        for tool in tools:
            path = self.holding_first(serve, self.directory())
            with relay.Receivewal(tool, serve.conninfo(), path) as run:
                walwire.wait_for_file(os.path.join(path, last), run, serve)
                self.assertEqual(run.stop(), 0, run.said)
            self.compare(path, source)
        self.holding_first(serve, late)
        with walwire.receive(serve.conninfo(), late) as below:
            walwire.wait_for_file(os.path.join(late, last), below, serve)
            self.assertEqual(below.stop(), 0, below.said)
        self.compare(late, source)
        standby.promote()
        self.assertEqual(standby.sql('SELECT sum(i) FROM rows'), '10')

    def holding_first(self, serve, directory):
        """A directory with the first segment alone, behind which whoever fills it goes on."""
        name = archive.whole(serve.directory)[0]
        cluster.own(shutil.copy(os.path.join(serve.directory, name), directory))
        return directory

    def compare(self, directory, source):
        """All of the new timeline is as the source has it, and so is the history."""
        name = '00000002.history'
        self.assertEqual(
            archive.read(os.path.join(directory, name)), archive.read(source.wal(name))
        )
        for name in archive.whole(directory):
            self.assertEqual(
                archive.read(os.path.join(directory, name)), archive.read(source.wal(name)), name
            )
        self.assertEqual(archive.gaps(directory, source.segment_size, 2), [])
        self.assertIn('00000002', [name[:8] for name in archive.whole(directory)])


if __name__ == '__main__':
    live.main()
