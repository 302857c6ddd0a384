#!/usr/bin/env python3
"""compile_time.py INCLUDE COMPILER... - what a header costs each file that includes it.

Processor time of the compiler with -O2, over one file that includes the header and nothing else.
The standard headers that the library needs are the measure: what it adds is its own.
"""
import os
import resource
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'support'))

import figures

STANDARD = '<span>, <string_view>, <variant>'
SESSION = 'walwire/replica/session.hpp'
EVERYTHING = 'walwire/walwire.hpp'

HEADERS = {
    'nothing': [],
    STANDARD: STANDARD.split(', '),
    SESSION: ['<%s>' % SESSION],
    EVERYTHING: ['<%s>' % EVERYTHING],
}
ROUNDS = 9


def compiling(words, path):
    def run():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*words, path], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return run


def main():
    include, compiler = sys.argv[1], sys.argv[2:]
    words = [*compiler, '-std=c++20', '-O2', '-I' + include, '-c', '-o', '/dev/null']
    with tempfile.TemporaryDirectory() as folder:
        contestants = {}
        for number, (name, headers) in enumerate(HEADERS.items()):
            path = os.path.join(folder, '%d.cpp' % number)
            with open(path, 'w') as file:
                file.writelines('#include %s\n' % header for header in headers)
            contestants[name] = compiling(words, path)
        found = figures.alternate(contestants, ROUNDS)
    print('One file that includes it, %s -O2, ms of processor time' % ' '.join(compiler))
    for name in HEADERS:
        print('    %-36s %8.0f' % (name, statistics.median(found[name])))
    print('Beside %s' % STANDARD)
    for name, target in ((SESSION, 150 / 95), (EVERYTHING, 300 / 95)):
        figures.line(name, figures.median_ratio(found[name], found[STANDARD]), target, 2)


if __name__ == '__main__':
    main()
