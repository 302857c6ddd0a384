"""How live tests are run: every test of a module, against every server that is installed.

    python3 tests/live/test_stream.py                   all versions (some: three), all tests
    python3 tests/live/test_stream.py 18 15 segments    two versions, tests whose names have a word

A module holds unittest classes derived from Live and ends with live.main(). As most of a test is
waiting, as many versions as the machine has processors are tested side by side, each in a process
of its own. Exit status 77 says that there was nothing to test with; CI and WALWIRE_REQUIRE_SERVERS
make a failure of that.
"""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import cluster, installed


# The oldest, the newest, and the one in between whose programs Debian has.
FEW = (12, 15, 18)


class Live(unittest.TestCase):
    """Tests against one server; `server` is its installation."""

    server = None
    maxDiff = None

    @classmethod
    def make_cluster(cls, settings=None, **more):
        """A cluster that lasts as long as the class does."""
        made = cluster.Cluster(cls.server, settings, **more)
        cls.addClassCleanup(made.remove)
        return made

    def new_cluster(self, settings=None, **more):
        """A cluster that lasts as long as the test does."""
        made = cluster.Cluster(self.server, settings, **more)
        self.addCleanup(made.remove)
        return made

    def directory(self):
        return cluster.directory('wal')

    def assert_lines(self, run, count):
        lines = run.said.splitlines()
        self.assertEqual(len(lines), count, run.said)
        for line in lines:
            self.assertTrue(line.startswith('walwire: '), line)


class Result(unittest.TextTestResult):
    """One line for each test, with the server's version and the time it took."""

    def startTest(self, test):
        unittest.TestResult.startTest(self, test)
        self.since = time.monotonic()
        version = '%d ' % test.server.major if test.server else ''
        self.stream.write('%s%s ... ' % (version, test._testMethodName))
        self.stream.flush()
        self._newline = False

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln('ok (%.1f s)' % (time.monotonic() - self.since))
        self.stream.flush()


def interrupt(number, _frame):
    raise KeyboardInterrupt('signal %d' % number)


def side_by_side(servers, words):
    """Runs this module once for each server and says what each run said when it is over."""
    waiting = list(servers)
    running = []
    failed = 0
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            said = tempfile.TemporaryFile()
            running.append(
                (
                    said,
                    subprocess.Popen(
                        [sys.executable, sys.argv[0], str(waiting.pop(0).major), *words],
                        stdout=said,
                        stderr=subprocess.STDOUT,
                        preexec_fn=cluster.die_with_parent,
                    ),
                )
            )
        for said, process in [each for each in running if each[1].poll() is not None]:
            running.remove((said, process))
            failed |= process.returncode
            said.seek(0)
            sys.stdout.write(said.read().decode(errors='replace'))
            sys.stdout.flush()
        time.sleep(0.02)
    return 1 if failed else 0


def run(server, words):
    """Runs this module's tests whose names have one of the words; gives the exit status."""
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    classes = [
        each
        for each in vars(sys.modules['__main__']).values()
        if isinstance(each, type) and issubclass(each, Live) and each is not Live
    ]
    for each in classes:
        made = type(each.__name__, (each,), {'server': server})
        names = [
            name
            for name in loader.getTestCaseNames(made)
            if not words or any(word in name for word in words)
        ]
        suite.addTests(made(name) for name in names)
    done = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    return 0 if done.wasSuccessful() and done.testsRun > 0 else 1


def main(alone=False, few=False):
    """`alone`: walwire is both ends, and there is no server to be tested with. `few`: what is
    tested is walwire's own doing, in which versions differ little.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, interrupt)
    asked = sys.argv[1:]
    if not os.path.isfile(os.environ.get('WALWIRE_PROGRAM', '')):
        sys.exit('WALWIRE_PROGRAM should name the program to be tested')
    if alone:
        sys.exit(run(None, asked))
    versions = {int(word) for word in asked if word.isdigit()} or set(FEW if few else ())
    words = [word for word in asked if not word.isdigit()]
    servers = [
        server for server in installed.servers() if not versions or server.major in versions
    ]
    required = os.environ.get('WALWIRE_REQUIRE_SERVERS', '') not in ('', '0') or 'CI' in os.environ
    absent = sorted((versions or set(installed.MAJORS)) - {server.major for server in servers})
    if absent:
        print(
            'SKIPPED, as tests/live/servers has not fetched it: PostgreSQL '
            + ', '.join(map(str, absent)),
            file=sys.stderr,
        )
    if absent and required:
        sys.exit(1)
    if not servers:
        sys.exit(77)
    if len(servers) > 1:
        sys.exit(side_by_side(servers, words))
    sys.exit(run(servers[0], words))
