#!/usr/bin/env python3
"""tidy.py CLANG-TIDY - clang-tidy over the library, as .clang-tidy says.

All headers go through it in one file, which is far quicker than each by itself.
"""
import os
import subprocess
import sys
import tempfile

import tree
from sources import ROOT


def main():
    headers = [header for header in tree.headers() if header.endswith('.hpp')]
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, 'all.cpp')
        with open(path, 'w', encoding='ascii') as file:
            file.write(''.join('#include <walwire/%s>\n' % header for header in headers))
        command = [sys.argv[1], '--quiet', '--config-file=' + os.path.join(ROOT, '.clang-tidy'),
                   path, '--', '-std=c++20', '-fno-exceptions', '-fno-rtti',
                   '-I' + os.path.join(ROOT, 'include')]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)
    print(done.stdout)
    if done.returncode:
        print(done.stderr)
    sys.exit(tree.report(['clang-tidy is not content'] if done.returncode else [], len(headers)))


if __name__ == '__main__':
    main()
