"""Which PostgreSQL servers and programs this machine has.

They are looked for where tests/live/servers puts them and where Debian puts its own. Of each major
version the newest counts as the server; those that have clients lend them, too.
"""
import functools
import glob
import os
import re
import subprocess
import sys

SERVERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'servers')
MAJORS = range(12, 19)


class Installation:
    def __init__(self, programs):
        self.programs = programs
        said = subprocess.run(
            [os.path.join(programs, 'postgres'), '--version'],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        self.version = tuple(int(part) for part in re.findall(r'\d+', said)[:2])
        self.major = self.version[0]

    def program(self, name):
        """The path of one of its programs, or None."""
        path = os.path.join(self.programs, name)
        return path if os.access(path, os.X_OK) else None


@functools.lru_cache(None)
def everything():
    """All installations, oldest first."""
    fetched = subprocess.run(
        [sys.executable, SERVERS, '--where'], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    found = {
        os.path.realpath(os.path.dirname(path))
        for top in (fetched, '/usr/lib/postgresql')
        for path in glob.glob(os.path.join(top, '*', 'bin', 'postgres'))
    }
    made = [Installation(programs) for programs in sorted(found)]
    return sorted((each for each in made if each.major in MAJORS), key=lambda each: each.version)


def servers():
    """One for each major version, oldest first."""
    newest = {installation.major: installation for installation in everything()}
    return list(newest.values())


def with_program(name, major):
    """Installations, oldest first, whose clients understand a server of this major version."""
    return [
        installation
        for installation in everything()
        if installation.major >= major and installation.program(name)
    ]


def psql():
    """Any psql does where it does not matter; the newest is as good as another."""
    found = with_program('psql', 0)
    return found[-1].program('psql') if found else 'psql'
