"""How live tests are run: every test of a module, against every server that is installed.

    python3 tests/live/test_stream.py                   all versions, all tests
    python3 tests/live/test_stream.py 18 15 segments    two versions, tests whose names have a word

A module holds unittest classes derived from Live and ends with live.main(). Exit status 77 says that
there was nothing to test with; CI and WALWIRE_REQUIRE_SERVERS make a failure of that.
"""
import os
import signal
import sys
import time
import unittest

from support import cluster, installed


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
        self.stream.write('%d %s ... ' % (test.server.major, test._testMethodName))
        self.stream.flush()
        self._newline = False

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln('ok (%.1f s)' % (time.monotonic() - self.since))
        self.stream.flush()


def interrupt(number, _frame):
    raise KeyboardInterrupt('signal %d' % number)


def missing(what):
    required = os.environ.get('WALWIRE_REQUIRE_SERVERS', '') not in ('', '0') or os.environ.get('CI')
    print('SKIPPED: %s; tests/live/servers fetches PostgreSQL 12 to 18' % what, file=sys.stderr)
    sys.exit(1 if required else 77)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    asked = sys.argv[1:]
    versions = {int(word) for word in asked if word.isdigit()}
    words = [word for word in asked if not word.isdigit()]
    servers = [server for server in installed.servers() if not versions or server.major in versions]
    if not servers:
        missing('there is no PostgreSQL server to test with')
    if not os.environ.get('WALWIRE_PROGRAM'):
        sys.exit('set WALWIRE_PROGRAM to the program to be tested')
    absent = sorted(set(installed.MAJORS) - {server.major for server in installed.servers()})
    if absent and not versions:
        print('NOT TESTED, since not installed: PostgreSQL %s' % ', '.join(map(str, absent)),
              file=sys.stderr)
        if os.environ.get('WALWIRE_REQUIRE_SERVERS', '') not in ('', '0'):
            sys.exit(1)

    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    classes = [each for each in vars(sys.modules['__main__']).values()
               if isinstance(each, type) and issubclass(each, Live) and each is not Live]
    for server in servers:
        for each in classes:
            made = type('%s%d' % (each.__name__, server.major), (each,), {'server': server})
            names = [name for name in loader.getTestCaseNames(made)
                     if not words or any(word in name for word in words)]
            suite.addTests(made(name) for name in names)
    done = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    sys.exit(0 if done.wasSuccessful() and done.testsRun > 0 else 1)
