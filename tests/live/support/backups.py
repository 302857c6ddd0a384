"""Base backups: taken, compared and started."""
import functools
import hashlib
import os
import shutil
import stat
import subprocess

from support import cluster, installed, walwire

# What two backups of one quiet server may differ in: where each of them began, and when.
OWN = ('backup_label', 'backup_manifest', 'global/pg_control')


def take(source, directory, *options, **more):
    """A whole run of `walwire backup`; gives the run."""
    return walwire.run(*words(source, directory, *options), **more)


def words(source, directory, *options):
    return ['backup', '-d', source.conninfo(), '-D', directory, '-c', 'fast', *options]


def content(top, skipped=OWN):
    """Everything in a directory by its path: what it is, its permissions, and its content. WAL
    counts by its names, links by where they lead."""
    found = {}
    for directory, below, names in os.walk(top):
        for name in below + names:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, top)
            mode = os.lstat(path).st_mode
            # pg_basebackup marks its last segment, or does not: it depends on when it stopped.
            if relative in skipped or relative.startswith('pg_wal/archive_status/'):
                continue
            if stat.S_ISLNK(mode):
                found[relative] = 'link'
            elif stat.S_ISDIR(mode):
                found[relative] = 'directory %o' % stat.S_IMODE(mode)
            elif relative.startswith('pg_wal/'):
                found[os.path.dirname(relative)] = 'directory with files'
            else:
                with open(path, 'rb') as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found[relative] = 'file %o %s' % (stat.S_IMODE(mode), digest)
    return found


def differences(one, other):
    return sorted(
        '%s: %s, %s' % (path, one.get(path), other.get(path))
        for path in one.keys() | other.keys()
        if one.get(path) != other.get(path)
    )


# 12 has no manifests. 17's are of version 2, and with them a tool looks into pg_control, which each
# version has its own of: 18's finds 17's broken. Servers come without clients, so 17 has no tool.
WITHOUT_VERIFIER = (12, 17)


def verifier(server):
    """A pg_verifybackup that understands this server's backups, or None. The manifests of 13 to 16
    are of version 1, which all of them read; from 17 on it has to be of the server's version."""
    for tool in installed.everything():
        if tool.program('pg_verifybackup') and server.major >= 13:
            if tool.major == server.major or server.major <= 16:
                return tool
    return None


@functools.lru_cache(None)
def say_unverified(major):
    print('(NOT VERIFIED: no pg_verifybackup for PostgreSQL %d) ' % major, end='', flush=True)


def verify(test, directory, *options):
    """PostgreSQL's own opinion of a backup, if there is one to be had."""
    tool = verifier(test.server)
    if tool is None:
        say_unverified(test.server.major)
        if 'CI' in os.environ:
            test.assertIn(test.server.major, WITHOUT_VERIFIER)
        return
    said = subprocess.run(
        [tool.program('pg_verifybackup'), '-n', *options, directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    test.assertEqual((said.returncode, said.stdout), (0, 'backup successfully verified\n'))


def basebackup(server):
    """A pg_basebackup for this server, or None."""
    found = installed.with_program('pg_basebackup', server.major)
    return found[0] if found else None


def unpack(archive, directory):
    cluster.run_process(['tar', '-xf', archive, '-C', directory])


def unpack_all(directory, tablespaces):
    """A tar backup as its user unpacks it; gives the directory. `tablespaces`: by the OID, where
    each goes."""
    made = cluster.directory('unpacked')
    archives = {
        name.split('.')[0]: os.path.join(directory, name) for name in os.listdir(directory)
    }
    unpack(archives['base'], made)
    if 'pg_wal' in archives:
        unpack(archives['pg_wal'], os.path.join(made, 'pg_wal'))
    for oid, place in tablespaces.items():
        unpack(archives[oid], place)
    map_file = os.path.join(made, 'tablespace_map')
    if os.path.exists(map_file):
        with open(map_file) as file:
            lines = [line.split(' ', 1)[0] for line in file.read().splitlines()]
        with open(map_file, 'w') as file:
            file.write(''.join('%s %s\n' % (oid, tablespaces[oid]) for oid in lines))
    return made


def restore(test, source, directory, settings=None):
    """A server that is not started yet, whose data directory the backup is now."""
    made = test.new_cluster({**source.settings, **(settings or {})}, like=None)
    shutil.rmtree(made.data)
    os.rename(directory, made.data)
    made.segment_size = source.segment_size
    return made
