#!/usr/bin/env python3
"""What stands where.

The top level holds the library, its tests and its build and nothing else. Every header has a unit
test of its name whose first include it is; a part, as x_tables.hpp is of x.hpp, may be tested with
the whole. Every fuzz target has seeds. The version is the same wherever it is said.
"""
import os
import re
import sys

import tree
from sources import ROOT, bare, under

TOP = {'include', 'tests', 'fuzz', 'bench', 'meson.build', 'meson_options.txt', 'README.md',
       'LICENSE'}

# Headers without code of their own, or tested by all the others.
NO_TEST = {'walwire.hpp', 'config.hpp', 'version.hpp', 'session.hpp', 'limits.hpp'}


def top_level(names, is_build):
    for name in sorted(names):
        if name not in TOP and not name.startswith('.') and not is_build(name):
            yield '%s does not belong at the top level' % name


def tests_of(headers, tests):
    """`tests` maps each unit test's path below tests/ to its text."""
    for header in headers:
        stem = os.path.splitext(header)[0]
        test = stem + '.cpp'
        if header in NO_TEST or test not in tests and any(
                stem.startswith(os.path.splitext(whole)[0] + '_') for whole in headers):
            continue
        if test not in tests:
            yield 'include/walwire/%s has no tests/%s' % (header, test)
            continue
        first = re.search(r'^#include (\S+)', tests[test], re.MULTILINE)
        if not first or first.group(1) != '<walwire/%s>' % header:
            yield 'tests/%s: the first include must be <walwire/%s>' % (test, header)


def fuzz_seeds(targets, files):
    """`files` are the paths below fuzz/."""
    for target in targets:
        if not any(path.startswith('corpus/%s/' % target) for path in files):
            yield 'fuzz/corpus/%s has no seeds' % target
    for path in files:
        folder, name = (path.split('/') + [''])[:2]
        if folder in ('corpus', 'dictionary') and name.removesuffix('.dict') not in targets:
            yield 'fuzz/%s belongs to no target' % path


def versions(build, header):
    said = re.search(r"version: '([\d.]+)'", build).group(1)
    parts = [re.search(r'version_%s = (\d+);' % part, header).group(1)
             for part in ('major', 'minor', 'patch')]
    text = re.search(r'version_text = "([^"]*)"', header).group(1)
    if not said == '.'.join(parts) == text:
        yield 'meson.build says %s, version.hpp %s and "%s"' % (said, '.'.join(parts), text)


def main():
    def is_build(name):
        return os.path.isdir(os.path.join(ROOT, name, 'meson-private')) or name.startswith('build')

    headers = tree.headers()
    tests = {os.path.relpath(path, 'tests'): tree.read(path) for path in under('tests')}
    files = [os.path.relpath(path, 'fuzz') for path in under('fuzz', '')]
    found = list(top_level(os.listdir(ROOT), is_build))
    found += tests_of(headers, tests)
    found += fuzz_seeds(bare(under('fuzz', deep=False)), files)
    found += versions(tree.read('meson.build'), tree.read('include/walwire/version.hpp'))
    sys.exit(tree.report(found, len(headers)))


if __name__ == '__main__':
    main()
