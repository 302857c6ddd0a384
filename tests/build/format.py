#!/usr/bin/env python3
"""format.py CLANG-FORMAT - every source stands as .clang-format wants it.

Versions of clang-format differ in what they want; the tree follows 14, so another one skips (77).
"""
import os
import re
import subprocess
import sys

import tree
from sources import ROOT

VERSION = '14'


def main():
    program = sys.argv[1]
    said = subprocess.run([program, '--version'], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    if re.search(r'version (\d+)', said).group(1) != VERSION:
        print('this is not clang-format %s: %s' % (VERSION, said.strip()))
        sys.exit(77)
    found = []
    paths = tree.code()
    for path in paths:
        done = subprocess.run([program, '--style=file', '--fallback-style=none', path], cwd=ROOT,
                              stdout=subprocess.PIPE, text=True, encoding='utf-8', check=True)
        if done.stdout != tree.read(path):
            found.append('%s: run clang-format -i on it' % os.path.join(path))
    sys.exit(tree.report(found, len(paths)))


if __name__ == '__main__':
    main()
