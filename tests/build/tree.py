"""Paths and texts of the tree, for the checks beside this file."""
import os

from sources import ROOT, under

LIBRARY = os.path.join('include', 'walwire')


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def headers():
    """The library's headers, relative to include/walwire."""
    found = under(LIBRARY, '.hpp') + under(LIBRARY, '.h')
    return sorted(os.path.relpath(path, LIBRARY) for path in found)


def code():
    """Every C++ source and header of ours, relative to the root."""
    return sorted(path for top in ('include', 'tests', 'fuzz', 'bench')
                  for ending in ('.hpp', '.h', '.cpp', '.c') for path in under(top, ending))


def scripts():
    """What builds and checks them."""
    own = [path for path in ('tests/run', 'tests/live/servers', '.ci/run', 'meson.build',
                             'meson_options.txt') if os.path.exists(os.path.join(ROOT, path))]
    return sorted(own + [path for top in ('tests', 'fuzz', 'bench')
                         for ending in ('.py', 'meson.build') for path in under(top, ending)])


def report(violations, checked):
    """Prints what is wrong and gives the exit status; to have checked nothing is wrong too."""
    violations = list(violations)
    for violation in violations:
        print(violation)
    if not checked:
        print('nothing was checked')
    else:
        print('%d checked, %d wrong' % (checked, len(violations)))
    return 1 if violations or not checked else 0
