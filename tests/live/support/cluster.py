"""Throw-away clusters: PostgreSQL servers that a test makes, disturbs and forgets.

A server refuses to run as root, so root runs everything that it starts here as somebody else.
Servers listen on 127.0.0.1 alone, on ports below those that the system gives out by itself, and die
with the test's process, however that ends.
"""
import atexit
import contextlib
import ctypes
import fcntl
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from support import installed

PATIENCE = 60  # seconds, for anything that is waited for

SETTINGS = {
    'listen_addresses': '127.0.0.1',
    'unix_socket_directories': '',
    'fsync': 'off',
    'full_page_writes': 'off',
    'wal_level': 'replica',
    'max_wal_senders': '10',
    'max_replication_slots': '10',
    'max_connections': '30',
    'shared_buffers': '16MB',
    'max_wal_size': '2GB',
    'autovacuum': 'off',
    'logging_collector': 'off',
}


def unprivileged():
    """Whom to run programs as: nobody else, unless we are root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    for name in ('postgres', 'nobody'):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError('root needs a user "postgres" or "nobody" to run servers as')


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


def start_process(words, environment=None, **more):
    """Popen, as the unprivileged user and in an environment without anybody's habits."""
    user = unprivileged()
    clean = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'HOME': home()}
    if os.getuid() == 0:
        more.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
    return subprocess.Popen(
        words, env={**clean, **(environment or {})}, cwd='/', preexec_fn=die_with_parent, **more
    )


def run_process(words, environment=None, given=None, check=True):
    """Runs a program to its end and gives what it said, standard error included."""
    process = start_process(
        words,
        environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, _ = process.communicate(given, timeout=PATIENCE)
    if check and process.returncode != 0:
        raise RuntimeError('%s: exit status %d: %s' % (' '.join(words), process.returncode, said))
    return said


_place = None


def fast_directory():
    """Memory is several times as fast as a disk here, if there is enough of it and nobody chose."""
    with contextlib.suppress(OSError):
        found = os.statvfs('/dev/shm')
        if 'TMPDIR' not in os.environ and found.f_bavail * found.f_frsize >= 4 << 30:
            return '/dev/shm'
    return None


def place():
    """The directory that everything of this process lies in; gone with it."""
    global _place
    if _place is None:
        _place = tempfile.mkdtemp(prefix='walwire-', dir=fast_directory())
        os.chmod(_place, 0o755)
        made = os.getpid()
        atexit.register(lambda: os.getpid() == made and shutil.rmtree(_place, ignore_errors=True))
    return _place


def own(path):
    """Hands a path to the user that programs run as."""
    if os.getuid() == 0:
        user = unprivileged()
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def directory(name):
    """A new, empty directory that programs may write into."""
    return own(tempfile.mkdtemp(prefix=name + '-', dir=place()))


def home():
    path = os.path.join(place(), 'home')
    if not os.path.isdir(path):
        os.mkdir(path)
        own(path)
    return path


PORTS = os.path.join(tempfile.gettempdir(), 'walwire-ports-%d' % os.getuid())
our_ports = []  # their locks, which this process's end gives back


def free_port():
    """A port of 127.0.0.1 that nobody listens on and that no outgoing connection is given. It is
    ours for as long as this process lives, so that a server that is down for a while can come back
    to it, whatever tests run beside this one."""
    os.makedirs(PORTS, exist_ok=True)
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        lock = open(os.path.join(PORTS, str(port)), 'w', encoding='ascii')
        with socket.socket() as tried, contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(('127.0.0.1', port))
            our_ports.append(lock)
            return port
        lock.close()


def wait_until(condition, what, patience=PATIENCE):
    """Polls until the condition gives something, and gives that."""
    limit = time.monotonic() + patience
    pause = 0.005
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > limit:
            raise AssertionError('waited %d seconds for %s' % (patience, what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def stands_still(process):
    """Whether SIGSTOP has reached it."""
    with open('/proc/%d/stat' % process.pid) as file:
        return file.read().rsplit(')', 1)[1].split()[0] == 'T'


def parse_lsn(text):
    high, low = re.fullmatch(r'([0-9A-F]+)/([0-9A-F]+)', text).groups()
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(at):
    return '%X/%X' % (at >> 32, at & 0xFFFFFFFF)


class Cluster:
    """One cluster of one server version. `settings` come on top of SETTINGS, `like` is a cluster to
    copy, and `other_system` makes one that has nothing in common with any other."""

    def __init__(self, server, settings=None, segment_megabytes=1, like=None, other_system=False):
        self.server = server
        self.major = server.major
        self.port = free_port()
        self.segment_size = like.segment_size if like else segment_megabytes << 20
        self.data = os.path.join(directory('cluster%d' % self.major), 'data')
        self.log = self.data + '.log'
        self.process = None
        self.settings = dict(SETTINGS)
        if self.major == 12:
            self.settings['wal_keep_segments'] = str((512 << 20) // self.segment_size)
        else:
            self.settings['wal_keep_size'] = '512MB'
        self.settings.update(settings or {})
        if like:
            self.copy(like.data)
        elif other_system:
            self.create(self.data)
        else:
            self.copy(self.pattern())
        atexit.register(self.remove)

    def create(self, data):
        run_process(
            [
                self.server.program('initdb'),
                '-D',
                data,
                '-U',
                'postgres',
                '-A',
                'trust',
                '-E',
                'UTF8',
                '--locale=C',
                '--no-sync',
                '--wal-segsize=%d' % (self.segment_size >> 20),
            ]
        )

    def pattern(self):
        """What clusters are copied from, faster than by initdb. They share a system identifier."""
        path = os.path.join(place(), 'pattern%d-%d' % (self.major, self.segment_size))
        if not os.path.isdir(path):
            os.mkdir(path)
            own(path)
            self.create(os.path.join(path, 'data'))
        return os.path.join(path, 'data')

    def copy(self, data):
        """Becomes a copy of a cluster that is stopped."""
        run_process(['cp', '-a', data, self.data])
        for name in ('standby.signal', 'postmaster.pid'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.data, name))

    def follow(self, primary):
        """Makes it a standby, from its next start on."""
        self.settings['primary_conninfo'] = 'host=127.0.0.1 port=%d user=postgres' % primary.port
        self.become_standby()

    def become_standby(self):
        self.write_file('standby.signal', '')

    def write_file(self, name, text):
        path = os.path.join(self.data, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(path, 0o600)
        return own(path)

    # Starting and stopping.

    def begin(self):
        """Starts the server, without waiting until it takes connections."""
        words = [self.server.program('postgres'), '-D', self.data, '-p', str(self.port)]
        for name, value in self.settings.items():
            words += ['-c', '%s=%s' % (name, value)]
        with open(self.log, 'ab') as log:
            self.process = start_process(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def start(self):
        """Starts the server and waits until it takes connections."""
        self.begin()
        wait_until(self.takes_connections, 'server %d to start' % self.major)
        return self

    def takes_connections(self):
        if self.process.poll() is not None:
            raise RuntimeError('server %d ended: %s' % (self.major, self.logged()[-2000:]))
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(self.data, 'postmaster.pid')) as file:
                lines = file.read().split('\n')
            # The eighth line is the postmaster's own word.
            return (
                len(lines) > 7
                and int(lines[0]) == self.process.pid
                and lines[7].strip() in ('ready', 'standby')
            )
        return False

    def stop(self, mode='fast'):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal({'fast': signal.SIGINT, 'immediate': signal.SIGQUIT}[mode])
            self.process.wait(PATIENCE)
        self.process = None

    def restart(self, mode='fast'):
        self.stop(mode)
        self.start()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def remove(self):
        with contextlib.suppress(Exception):
            self.stop('immediate')
        shutil.rmtree(os.path.dirname(self.data), ignore_errors=True)

    def logged(self):
        with open(self.log, errors='replace') as file:
            return file.read()

    # What is asked of it.

    def conninfo(self, **more):
        """The connection string of the superuser, who is trusted; a keyword of None is left out."""
        words = {'host': '127.0.0.1', 'port': self.port, 'user': 'postgres', **more}
        return ' '.join(
            "%s='%s'" % (key, str(value).replace('\\', '\\\\').replace("'", "\\'"))
            for key, value in words.items()
            if value is not None
        )

    def psql_words(self, *more):
        return [
            installed.psql(),
            '-X',
            '-q',
            '-A',
            '-t',
            '-v',
            'ON_ERROR_STOP=1',
            '-d',
            self.conninfo(dbname='postgres'),
            *more,
        ]

    def sql(self, *commands):
        """Runs the commands in one psql and gives what they answered, without the last newline."""
        words = self.psql_words()
        for command in commands:
            words += ['-c', command]
        return run_process(words).rstrip('\n')

    def start_sql(self, script):
        """A psql that works on a script while the test goes on."""
        with tempfile.TemporaryFile('w+', dir=place()) as file:
            file.write(script)
            file.seek(0)
            return start_process(
                self.psql_words(), stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def ended_segment(self):
        """Ends the current segment with something in it and gives its name."""
        return self.sql(
            "SELECT pg_logical_emit_message(false, 'live', 'the end of a segment')",
            'SELECT pg_walfile_name(pg_switch_wal())',
        ).split('\n')[-1]

    def flushed(self):
        return parse_lsn(self.sql('SELECT pg_current_wal_flush_lsn()'))

    def grow(self, megabytes):
        """Writes about this much WAL."""
        self.sql(
            "SELECT count(pg_logical_emit_message(false, 'live', repeat(md5(i::text), 256)))"
            ' FROM generate_series(1, %d) i' % (megabytes * 128)
        )

    def promote(self):
        self.sql('SELECT pg_promote(true, %d)' % PATIENCE)
        wait_until(lambda: self.sql('SELECT pg_is_in_recovery()') == 'f', 'the promotion')

    def wal(self, name):
        return os.path.join(self.data, 'pg_wal', name)
