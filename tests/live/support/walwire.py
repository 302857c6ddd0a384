"""The program walwire, started, watched and stopped by a test."""
import os
import shutil
import signal
import subprocess

from support import cluster

_copies = {}


def program():
    """A copy of the program that the unprivileged user may run, wherever the build lies."""
    built = os.environ.get('WALWIRE_PROGRAM')
    if not built:
        raise RuntimeError('WALWIRE_PROGRAM does not say which program to test')
    if built not in _copies:
        _copies[built] = os.path.join(cluster.place(), 'walwire')
        shutil.copy(built, _copies[built])
        os.chmod(_copies[built], 0o755)
    return _copies[built]


class Walwire:
    """One run of it. What it says goes to a file, so that no pipe can fill up and stop it."""

    def __init__(self, *words, environment=None, under=()):
        self.words = [str(word) for word in words]
        self.said_in = os.path.join(cluster.directory('said'), 'stderr')
        with open(self.said_in, 'wb') as said, open(self.said_in + '.out', 'wb') as out:
            self.process = cluster.start_process(
                [*under, program(), *self.words],
                environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    @property
    def said(self):
        with open(self.said_in, errors='replace') as file:
            return file.read()

    @property
    def printed(self):
        with open(self.said_in + '.out', errors='replace') as file:
            return file.read()

    def wait_for(self, text, after=0):
        """Waits until it said this, beyond the first `after` characters; gives how much it has
        said."""

        def found():
            at = self.said.find(text, after)
            if at >= 0:
                return at + len(text)
            if self.process.poll() is not None:
                raise AssertionError(
                    'walwire ended with %d before it said "%s"; it said:\n%s'
                    % (self.process.returncode, text, self.said)
                )
            return 0

        try:
            return cluster.wait_until(found, 'walwire to say "%s"' % text)
        except AssertionError as late:
            raise AssertionError('%s; it said:\n%s' % (late, self.said)) from None

    def wait(self):
        """Its exit status, once it ends by itself."""
        try:
            return self.process.wait(cluster.PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError('walwire has not ended; it said:\n' + self.said) from None

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Stops it as a user does and gives its exit status."""
        self.send(number)
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.wait(cluster.PATIENCE)

    def pause(self):
        """Stops it with SIGSTOP, and waits until it stands."""
        self.send(signal.SIGSTOP)
        cluster.wait_until(lambda: cluster.stands_still(self.process), 'walwire to stand still')

    def resume(self):
        self.send(signal.SIGCONT)


def receive(source, directory, *options, **more):
    """`walwire receive` from a cluster or a connection string into a directory."""
    conninfo = source.conninfo() if isinstance(source, cluster.Cluster) else source
    return Walwire('receive', '-d', conninfo, '-D', directory, '-v', *options, **more)


def run(*words, **more):
    """Runs it to its end; gives the run, whose status is in process.returncode."""
    with Walwire(*words, **more) as done:
        done.wait()
    return done


def wait_for_file(path, *runs):
    """Waits until a file is there, as long as all of these runs go on."""

    def found():
        if os.path.exists(path):
            return True
        for each in runs:
            if each.process.poll() is not None:
                raise AssertionError(
                    'walwire ended with %d; it said:\n%s' % (each.process.returncode, each.said)
                )
        return False

    try:
        cluster.wait_until(found, path)
    except AssertionError as late:
        raise AssertionError('%s\n%s' % (late, '\n'.join(each.said for each in runs))) from None
