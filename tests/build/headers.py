#!/usr/bin/env python3
"""Each header compiles alone, and twice in one file, without a warning, without exceptions and
RTTI.

    headers.py alone COMPILER      every header in a file of its own (.h also as C), but for those
                                   that a unit test includes first: to compile that test, with the
                                   same compiler, is the same proof
    headers.py linked COMPILER     all headers in two files that are linked and run: what is not
                                   inline is defined twice, and the linker says so

The flags are the strictest that a consuming project is likely to have.
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import tree
from sources import ROOT, units

WARNINGS = '-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror'.split()
CXX = ['-std=c++20', '-Wold-style-cast', '-Wnon-virtual-dtor', '-fno-exceptions', '-fno-rtti']
C = ['-std=c11', '-Wstrict-prototypes']
INCLUDE = '-I' + os.path.join(ROOT, 'include')

# The bodies of the C API belong into exactly one file of a program.
ONCE = ('_impl.hpp',)


def run(command, source=None):
    done = subprocess.run(command, input=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return '' if done.returncode == 0 else done.stdout or 'exit status %d' % done.returncode


def first_includes():
    """The headers that unit tests begin with; layout.py sees that nearly all are among them."""
    for path in units():
        with open(os.path.join(ROOT, path), encoding='ascii') as file:
            found = re.match('#include <walwire/(.*)>', file.readline())
        if found:
            yield found.group(1)


def alone(compiler, header):
    times = 1 if header.endswith(ONCE) else 2
    source = '#include <walwire/%s>\n' % header * times
    command = [compiler, *WARNINGS, INCLUDE, '-fsyntax-only']
    problems = run(command + CXX + ['-x', 'c++', '-'], source)
    if header.endswith('.h'):
        c_compiler = compiler.replace('clang++', 'clang').replace('g++', 'gcc')
        problems += run([c_compiler] + command[1:] + C + ['-x', 'c', '-'], source)
    return 'walwire/%s:\n%s' % (header, problems) if problems else None


def linked(compiler, headers):
    shared = [header for header in headers if not header.endswith(ONCE)]
    both = ''.join('#include <walwire/%s>\n' % header for header in shared)
    first = ''.join('#include <walwire/%s>\n' % header for header in headers)
    with tempfile.TemporaryDirectory() as work:
        paths = [os.path.join(work, name) for name in ('one.cpp', 'two.cpp', 'program')]
        with open(paths[0], 'w', encoding='ascii') as file:
            file.write(first + 'int two();\nint main() { return two(); }\n')
        with open(paths[1], 'w', encoding='ascii') as file:
            file.write(both + 'int two();\nint two() { return 0; }\n')
        command = [compiler, *WARNINGS, *CXX, INCLUDE, '-O0', *paths[:2], '-o', paths[2],
                   '-lcrypto']
        return run(command) or run([paths[2]])


def main():
    what, compiler = sys.argv[1:]
    headers = tree.headers()
    if what == 'alone':
        tested = set(first_includes())
        headers = [header for header in headers if header not in tested or header.endswith('.h')]
        with ThreadPoolExecutor(2) as pool:
            found = list(filter(None, pool.map(lambda header: alone(compiler, header), headers)))
    else:
        found = list(filter(None, [linked(compiler, headers)]))
    sys.exit(tree.report(found, len(headers)))


if __name__ == '__main__':
    main()
