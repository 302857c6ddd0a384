#!/usr/bin/env python3
"""walwire follows a server through promotions, and refuses WAL of a history that did not happen.

A directory that was there all the time and one that comes back after two promotions must hold the
same: the old timelines' last segments as `.partial`, the histories as the server has them, and
every segment of the new timelines. A directory that is ahead of the point where the timelines part
is not touched.
"""
import os

from support import archive, cluster, live, walwire


class Promotion(live.Live):
    def pair(self):
        """A primary, and a standby that follows it."""
        primary = self.new_cluster()
        primary.start().stop()
        standby = self.new_cluster(like=primary)
        standby.follow(primary)
        primary.start()
        standby.start()
        return primary, standby

    def move(self, primary, standby):
        """Lets the standby take over. The primary is stopped in an orderly way, so nothing is
        lost."""
        primary.stop()
        standby.promote()

    def compare(self, directory, source, timeline):
        """All that the directory holds of a timeline is what the server has of it."""
        ended = os.path.exists(source.wal('%08X.history' % (timeline + 1)))
        upto = self.switch_point(source, timeline + 1) if ended else source.flushed()
        # It was a standby up to there.
        found = archive.differences(directory, source, upto, timeline, from_standby=ended)
        self.assertEqual(found, [])
        self.assertEqual(archive.others(directory), [])

    def compare_history(self, directory, source, timeline):
        name = '%08X.history' % timeline
        self.assertEqual(
            archive.read(os.path.join(directory, name)), archive.read(source.wal(name))
        )

    def switch_point(self, source, timeline):
        """Where the server's history says that the timeline before this one ended."""
        lines = archive.read(source.wal('%08X.history' % timeline)).decode().split('\n')
        return cluster.parse_lsn([line for line in lines if line.strip()][-1].split('\t')[1])

    def compare_end(self, directory, source, timeline):
        """The last segment of a timeline that ended stays `.partial`, and is right up to the
        switch."""
        at = self.switch_point(source, timeline + 1)
        size = source.segment_size
        name = archive.name(at, size, timeline)
        if at % size == 0:
            return
        self.assertIn(name + '.partial', archive.partial(directory))
        ours = archive.read(os.path.join(directory, name + '.partial'))
        theirs = archive.read(os.path.join(directory, '%08X' % (timeline + 1) + name[8:]))
        # The server copies the common part into the new timeline's first segment.
        self.assertEqual(len(ours), size)
        self.assertEqual(ours[: at % size], theirs[: at % size])
        self.assertEqual(ours[at % size :].strip(b'\0'), b'')

    def test_promoted_twice(self):
        """It follows a standby that is promoted, restarted as a standby, and promoted again."""
        primary, standby = self.pair()
        directory, late = self.directory(), self.directory()
        with walwire.receive(primary, late) as run:
            run.wait_for('following from')
            primary.grow(2)
            last = primary.ended_segment()
            walwire.wait_for_file(os.path.join(late, last), run)
            self.assertEqual(run.stop(), 0, run.said)

        with walwire.receive(standby, directory, '-s', 1) as run:
            run.wait_for('on timeline 1')
            primary.grow(3)
            last = primary.ended_segment()
            walwire.wait_for_file(os.path.join(directory, last), run)
            self.compare_standby(directory, standby, primary)
            primary.sql('CREATE TABLE before_the_first AS SELECT 1')

            self.move(primary, standby)
            run.wait_for('on timeline 2')
            standby.grow(3)
            last = standby.ended_segment()
            walwire.wait_for_file(os.path.join(directory, last), run)
            standby.sql('CREATE TABLE before_the_second AS SELECT 1')

            # It is its own successor: nothing of the second timeline may be lost either.
            standby.stop()
            standby.settings['primary_conninfo'] = ''
            standby.become_standby()
            standby.start()
            standby.promote()
            run.wait_for('on timeline 3')
            standby.grow(2)
            last = standby.ended_segment()
            walwire.wait_for_file(os.path.join(directory, last), run)
            self.assertEqual(run.stop(), 0, run.said)
        self.everything(directory, standby)

        # The other one missed both.
        with walwire.receive(standby, late) as run:
            walwire.wait_for_file(os.path.join(late, last), run)
            self.assertEqual(run.stop(), 0, run.said)
        self.everything(late, standby)
        both = archive.whole(directory)
        self.assertEqual(archive.whole(late)[-len(both) :], both)
        for name in both:
            one, other = (archive.read(os.path.join(each, name)) for each in (directory, late))
            end = archive.records_end(archive.read(standby.wal(name)))
            self.assertTrue(one[:end] == other[:end], name)

    def everything(self, directory, source):
        for timeline in (1, 2, 3):
            self.compare(directory, source, timeline)
        for timeline in (2, 3):
            self.compare_history(directory, source, timeline)
            self.compare_end(directory, source, timeline - 1)
        self.assertEqual([name[:8] for name in archive.whole(directory)][-1], '00000003')

    def compare_standby(self, directory, standby, primary):
        """What a standby streams is what it has received, where there are records."""
        for name in archive.whole(directory):
            ours = archive.read(os.path.join(directory, name))
            for each in (standby, primary):
                theirs = archive.read(each.wal(name))
                self.assertEqual(len(ours), len(theirs))
                end = archive.records_end(theirs)
                self.assertTrue(ours[:end] == theirs[:end], name)

    def test_diverged(self):
        """WAL of the old primary beyond the switch point is refused, and the directory left
        alone."""
        primary, standby = self.pair()
        directory = self.directory()
        self.move(primary, standby)
        primary.start()
        with walwire.receive(primary, directory) as run:
            run.wait_for('on timeline 1')
            primary.grow(3)
            last = primary.ended_segment()
            walwire.wait_for_file(os.path.join(directory, last), run)
            self.assertEqual(run.stop(), 0, run.said)
        before = archive.state(directory)
        with walwire.Walwire('receive', '-d', standby.conninfo(), '-D', directory) as run:
            self.assertEqual(run.wait(), 1)
            self.assert_lines(run, 1)
            self.assertIn('history forked', run.said)
        self.assertEqual(archive.state(directory), before)

    def test_behind(self):
        """A server that has not made our timeline is not followed, however often we ask."""
        primary, standby = self.pair()
        directory = self.directory()
        self.move(primary, standby)
        with walwire.receive(standby, directory) as run:
            run.wait_for('on timeline 2')
            standby.grow(1)
            walwire.wait_for_file(os.path.join(directory, standby.ended_segment()), run)
            self.assertEqual(run.stop(), 0, run.said)
        primary.start()
        before = archive.state(directory)
        with walwire.Walwire('receive', '-d', primary.conninfo(), '-D', directory) as run:
            run.wait_for('trying again', run.wait_for('trying again'))
            self.assertEqual(run.stop(), 0, run.said)
        self.assertEqual(archive.state(directory), before)


if __name__ == '__main__':
    live.main()
