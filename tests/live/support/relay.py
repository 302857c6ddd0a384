"""A relay: `walwire receive` fills a directory, and `walwire serve` serves what is in it."""
import os
import subprocess

from support import archive, cluster, installed, walwire


class Serve(walwire.Walwire):
    """`walwire serve` over a directory, on a port that it chose itself."""

    def __init__(self, directory, *options, port=0, **more):
        super().__init__(
            'serve', '--listen', '127.0.0.1:%d' % port, '--wal', directory, '-v', *options, **more
        )
        self.directory = directory

        def listens():
            if self.process.poll() is not None:
                raise AssertionError('walwire serve ended; it said:\n' + self.said)
            return self.printed.endswith('\n')

        cluster.wait_until(listens, 'walwire serve to listen')
        self.port = int(self.printed.rsplit(':', 1)[1])

    def conninfo(self, **more):
        words = {'host': '127.0.0.1', 'port': self.port, 'user': 'replica', **more}
        return ' '.join("%s='%s'" % (key, value) for key, value in words.items())

    def end_of_wal(self):
        """What it says itself."""
        return cluster.parse_lsn(self.ask('IDENTIFY_SYSTEM')[0].split('|')[2])

    def ask(self, *commands, **more):
        """Runs commands over one connection of psql and gives the lines that it printed, errors
        included."""
        conninfo = self.conninfo(**{'replication': 1, **more})
        words = [installed.psql(), '-X', '-A', '-t', '-d', conninfo]
        for command in commands:
            words += ['-c', command]
        return cluster.run_process(words, check=False).splitlines()

    def wait_for_end(self, at, *runs):
        """Waits until it serves the WAL up to a position of the primary's."""
        try:
            cluster.wait_until(lambda: self.end_of_wal() >= at, 'the relay to have all WAL')
        except AssertionError as late:
            raise AssertionError(
                '%s\n%s' % (late, '\n'.join(each.said for each in (self, *runs)))
            ) from None


class Receivewal:
    """PostgreSQL's own pg_receivewal, from a relay."""

    def __init__(self, tool, conninfo, directory, *options):
        self.said_in = os.path.join(cluster.directory('said'), 'stderr')
        words = [tool.program('pg_receivewal'), '-d', conninfo, '-n', '-v', *options]
        if directory:
            words += ['-D', directory]
        with open(self.said_in, 'wb') as said:
            self.process = cluster.start_process(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(cluster.PATIENCE)

    @property
    def said(self):
        with open(self.said_in, errors='replace') as file:
            return file.read()

    def wait(self):
        return self.process.wait(cluster.PATIENCE)

    def stop(self):
        self.process.send_signal(2)
        return self.wait()


def begin(test, source, *options, **more):
    """Fills a directory from a cluster and serves it, for as long as the test lasts; gives both
    runs. The source may be restarted meanwhile."""
    directory = test.directory()
    run = walwire.receive(source, directory, '-s', 1)
    test.addCleanup(run.__exit__)
    run.wait_for('following from')
    cluster.wait_until(
        lambda: holds_wal(directory, source.segment_size), 'the first WAL to arrive'
    )
    serve = Serve(directory, *options, **more)
    test.addCleanup(serve.__exit__)
    return run, serve


def holds_wal(directory, segment_size):
    """Whether there is a segment with something in it."""
    names = archive.whole(directory) + archive.partial(directory)
    for name in names:
        try:
            with open(os.path.join(directory, name), 'rb') as file:
                if file.read(2) != b'\0\0' and os.path.getsize(file.name) == segment_size:
                    return True
        except FileNotFoundError:
            pass  # it got its final name just now
    return False
