#!/usr/bin/env python3
"""walwire --synchronous can be trusted with commits: none returns before its WAL is durable here.

While walwire stands still a commit waits; once it has returned, the directory holds its WAL,
whatever happens to walwire next. What the server shows of us in pg_stat_replication is what we
reported.
"""
from support import archive, cluster, live, walwire

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


class Synchronous(live.Live):
    def setUp(self):
        self.source = self.new_cluster().start()
        self.source.sql('CREATE TABLE t (i int)')
        self.wal = self.directory()

    def start(self, *options, **more):
        run = walwire.receive(self.source.conninfo(**more), self.wal, '--synchronous', *options)
        self.addCleanup(run.__exit__)
        run.wait_for('following from')
        return run

    def require(self, name):
        """From now on commits wait for the standby of this name."""
        self.source.sql(
            "ALTER SYSTEM SET synchronous_standby_names = '%s'" % name, 'SELECT pg_reload_conf()'
        )
        cluster.wait_until(lambda: self.shown('sync_state') == 'sync', 'the server to count on us')

    def shown(self, columns):
        return self.source.sql('SELECT %s FROM pg_stat_replication' % columns)

    def commit(self):
        """One commit; gives a position behind what was inserted, which the commit includes."""
        return cluster.parse_lsn(
            self.source.sql(
                'BEGIN', 'INSERT INTO t VALUES (1)', 'SELECT pg_current_wal_insert_lsn()', 'COMMIT'
            )
        )

    def lacking(self, upto):
        return [
            found
            for found in archive.differences(self.wal, self.source, upto)
            if found != 'there is no whole segment'
        ]

    def assert_durable(self, upto):
        """Looks at once, without waiting for anything."""
        self.assertEqual(self.lacking(upto), [])
        size = self.source.segment_size
        self.assertIn(
            archive.name(upto - 1, size),
            archive.whole(self.wal) + [name[:24] for name in archive.partial(self.wal)],
        )

    def test_commits(self):
        """A commit that returned is in the directory, also when walwire is killed in that
        moment."""
        run = self.start()
        self.require('walwire')
        for _ in range(5):
            self.assert_durable(self.commit())
        many = self.source.start_sql('INSERT INTO t VALUES (1);\n' * 300)
        self.assertEqual(many.wait(cluster.PATIENCE), 0)
        end = self.commit()
        run.kill()
        self.assert_durable(end)

    def test_waits(self):
        """While walwire stands still, and while it is not there, a commit waits; then it
        returns."""
        run = self.start()
        self.require('walwire')
        for away in ('paused', 'gone'):
            if away == 'paused':
                run.pause()
            else:
                self.assertEqual(run.stop(), 0, run.said)
            waiting = self.source.start_sql('INSERT INTO t VALUES (2);\n')
            cluster.wait_until(lambda: self.source.sql(WAITING) == '1', 'the commit to wait')
            self.assertIsNone(waiting.poll())
            if away == 'paused':
                run.resume()
            else:
                run = self.start()
            self.assertEqual(waiting.wait(cluster.PATIENCE), 0)

    def test_reported(self):
        """pg_stat_replication shows our name, our state and positions that only ever follow."""
        run = self.start('-s', 1, application_name='archive one')
        self.require('"archive one"')
        self.assertEqual(
            self.shown('application_name, state, sync_state'), 'archive one|streaming|sync'
        )
        for _ in range(5):
            end = self.commit()
            self.assertEqual(
                self.shown(
                    "flush_lsn >= '%s', write_lsn >= flush_lsn,"
                    ' sent_lsn >= write_lsn, flush_lsn <= pg_current_wal_lsn()'
                    % cluster.format_lsn(end)
                ),
                't|t|t|t',
            )
        self.source.grow(3)
        cluster.wait_until(
            lambda: self.shown('flush_lsn = pg_current_wal_lsn(), write_lsn = flush_lsn') == 't|t',
            'all to be reported',
        )
        self.assertEqual(run.stop(), 0, run.said)


if __name__ == '__main__':
    live.main()
