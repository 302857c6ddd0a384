#!/usr/bin/env python3
"""Finds the sources that the build is made of, so that none can be forgotten.

    sources.py all                 every .cpp under tests, fuzz and bench
    sources.py unit-folders        the folders of unit tests, below tests/ ("." is tests/ itself)
    sources.py units FOLDER        the unit tests of one of them
    sources.py fuzz | bench        the targets, without folder and ending
    sources.py consumer NAME       the sources of tests/consumers/NAME
    sources.py live                the live tests, without folder and ending
    sources.py --check SOURCE...   fails unless these are all, and each has a place in the build

The build asks while it is configured; the last form runs as a test and sees what came later.
"""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Folders of tests/ in which a .cpp is no unit test: the support code itself, and programs that are
# built by scripts or have a build of their own.
OTHERS = ('tests/support', 'tests/build', 'tests/consumers')


def under(top, ending='.cpp', deep=True):
    """Paths below `top`, relative to the root."""
    found = []
    for folder, folders, names in os.walk(os.path.join(ROOT, top)):
        folders[:] = sorted(name for name in folders if deep and not name.startswith('.'))
        found += [os.path.relpath(os.path.join(folder, name), ROOT)
                  for name in names if name.endswith(ending)]
    return sorted(found)


def everything():
    return under('tests') + under('fuzz') + under('bench')


def units():
    return [path for path in under('tests')
            if path.startswith('tests/support/tests/')
            or not any(path.startswith(other + '/') for other in OTHERS)]


def unit_folder(path):
    return os.path.relpath(os.path.dirname(path), 'tests')


def bare(paths):
    return [os.path.splitext(os.path.basename(path))[0] for path in paths]


def unplaced():
    """Sources that no part of the build would compile."""
    places = (units() + under('fuzz', deep=False) + under('bench', deep=False)
              + under('tests/consumers') + under('tests/support', deep=False) + under('tests/build')
              + under('fuzz/support', deep=False) + under('bench/support', deep=False))
    return sorted(set(everything()) - set(places))


def check(known):
    wrong = 0
    for path in sorted(set(everything()) ^ set(known)):
        print('gone:' if path in known else 'new since the build was configured:', path)
        wrong = 1
    for path in unplaced():
        print('no part of the build compiles ' + path)
        wrong = 1
    if not everything():
        print('no sources found')
        wrong = 1
    if wrong:
        print('If these are as they should be, run meson setup --reconfigure BUILD.')
    return wrong


def main():
    what, words = sys.argv[1], sys.argv[2:]
    if what == '--check':
        sys.exit(check(words))
    lists = {
        'all': everything,
        'unit-folders': lambda: sorted({unit_folder(path) for path in units()}),
        'units': lambda: [path for path in units() if unit_folder(path) == words[0]],
        'fuzz': lambda: bare(under('fuzz', deep=False)),
        'bench': lambda: bare(under('bench', deep=False)),
        'consumer': lambda: under('tests/consumers/' + words[0]),
        'live': lambda: bare(under('tests/live', '.py', deep=False)),
    }
    print('\n'.join(lists[what]()))


if __name__ == '__main__':
    main()
