#!/usr/bin/env python3
"""The WAL that walwire stores is the WAL that the server wrote, byte for byte.

It proves this against the server's own pg_wal and against the directory that the real pg_receivewal
fills from the same server at the same time; PostgreSQL's own pg_waldump reads it to the end.
"""
import os
import signal
import subprocess

from support import archive, cluster, installed, live, walwire


class Receivewal:
    """PostgreSQL's own program at the same work."""

    def __init__(self, installation, source, directory):
        self.installation = installation
        self.process = cluster.start_process(
            [
                installation.program('pg_receivewal'),
                '-d',
                source.conninfo(),
                '-D',
                directory,
                '-n',
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(cluster.PATIENCE)


class Stream(live.Live):
    def follow(self, source, load):
        """Lets walwire and every pg_receivewal there is follow a load, and compares what they
        have."""
        source.start()
        tools = installed.with_program('pg_receivewal', self.server.major)
        theirs = {tool: self.directory() for tool in tools}
        ours = self.directory()
        with walwire.receive(source, ours, '-s', 1) as run:
            run.wait_for('following from')
            others = [Receivewal(tool, source, path) for tool, path in theirs.items()]
            cluster.wait_until(
                lambda: all(archive.partial(path) for path in theirs.values()),
                'pg_receivewal to begin',
            )
            load()
            last = source.ended_segment()
            for directory in (ours, *theirs.values()):
                walwire.wait_for_file(os.path.join(directory, last), run)
            flushed = source.flushed()
            self.assertEqual([other.stop() for other in others], [0] * len(others))
            self.assertEqual(run.stop(), 0, run.said)
        self.assertEqual(archive.differences(ours, source, flushed), [])
        self.assertEqual(archive.others(ours), [])
        for tool, path in theirs.items():
            self.compare(ours, path, tool)
        self.dump(ours)
        return ours

    def compare(self, ours, theirs, tool):
        """Each began where the server was then, so one may lack segments that the other began
        with."""
        common = [name for name in archive.whole(theirs) if name in archive.whole(ours)]
        self.assertEqual(archive.whole(ours)[-len(common) :], common)
        for name in common:
            self.assertEqual(
                archive.read(os.path.join(ours, name)),
                archive.read(os.path.join(theirs, name)),
                (name, tool.version),
            )

    def dump(self, directory):
        """pg_waldump reads every record from the first segment to the end of the last."""
        names = archive.whole(directory)
        for tool in installed.with_program('pg_waldump', self.server.major):
            if tool.major == self.server.major:
                said = cluster.run_process(
                    [tool.program('pg_waldump'), '-q', '-p', directory, names[0], names[-1]]
                )
                self.assertEqual(said, '')

    def test_small_segments(self):
        """Many segments of 1 MB, in records of all sizes, written as fast as the server can."""
        source = self.new_cluster()

        def load():
            source.sql('CREATE TABLE t (i int, v text)')
            writers = [
                source.start_sql(
                    "SET synchronous_commit = off;\n"
                    + "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 40) g;\n"
                    * 300
                )
                for _ in range(3)
            ]
            source.grow(12)
            for writer in writers:
                self.assertEqual(writer.wait(cluster.PATIENCE), 0)

        directory = self.follow(source, load)
        self.assertGreater(len(archive.whole(directory)), 12)

    def test_large_segments(self):
        """Two segments of 16 MB and the beginning of a third."""
        source = self.new_cluster(segment_megabytes=16)

        def load():
            source.grow(20)

        directory = self.follow(source, load)
        self.assertGreater(len(archive.whole(directory)), 1)

    def test_big_records(self):
        """Records of many megabytes, which no message and no segment holds whole."""
        source = self.new_cluster()

        def load():
            source.sql(
                "SELECT pg_logical_emit_message(false, 'live', repeat('0123456789', 600000))"
            )

        self.follow(source, load)

    def test_trickle(self):
        """A server that writes a little now and then: all of it is there soon, in the partial
        file."""
        source = self.new_cluster().start()
        directory = self.directory()
        with walwire.receive(source, directory) as run:
            run.wait_for('following from')
            for number in range(10):
                at = cluster.parse_lsn(
                    source.sql(
                        "SELECT pg_logical_emit_message(true, 'live', 'trickle %d')" % number
                    )
                )
                flushed = source.flushed()
                self.assertGreaterEqual(flushed, at)
                cluster.wait_until(
                    lambda: not self.partial_differences(directory, source, flushed),
                    'the trickle to arrive',
                )
            self.assertEqual(run.stop(), 0, run.said)

    @staticmethod
    def partial_differences(directory, source, flushed):
        if not archive.partial(directory):
            return ['nothing']
        return [
            found
            for found in archive.differences(directory, source, flushed)
            if found != 'there is no whole segment'
        ]


if __name__ == '__main__':
    live.main()
