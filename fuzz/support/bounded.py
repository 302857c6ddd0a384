#!/usr/bin/env python3
"""bounded.py TARGET CORPUS SECONDS [DICTIONARY] - lets a libFuzzer target search for that long.

It works on a copy of the corpus, so a test run leaves the tree as it is. An input that fails is
kept beside the target and printed in base64, so that a log is enough to have it.
"""
import base64
import glob
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    target, corpus, seconds = sys.argv[1:4]
    artifacts = target + '.found-'
    for old in glob.glob(artifacts + '*'):
        os.remove(old)
    with tempfile.TemporaryDirectory() as work:
        copy = os.path.join(work, 'corpus')
        shutil.copytree(corpus, copy)
        command = [target, copy, '-max_total_time=' + seconds, '-timeout=10', '-rss_limit_mb=2048',
                   '-print_final_stats=1', '-artifact_prefix=' + artifacts]
        command += ['-dict=' + dictionary for dictionary in sys.argv[4:]]
        status = subprocess.run(command, check=False).returncode
    for found in glob.glob(artifacts + '*'):
        with open(found, 'rb') as file:
            print(found, base64.b64encode(file.read()).decode())
    sys.exit(1 if status else 0)


if __name__ == '__main__':
    main()
