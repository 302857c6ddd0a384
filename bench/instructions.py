#!/usr/bin/env python3
"""instructions.py IN_MEMORY - what a WAL message costs its receiver, in instructions.

Counted by valgrind's callgrind, so the figures are the same on every run and on a busy machine.
Each contestant is brought to streaming twice, once to receive nothing and once to receive; the
difference is the receiving. Without valgrind the program skips (77).
"""
import os
import re
import shutil
import subprocess
import sys

TARGETS = {('session', 100): 45}
# Callgrind counts a "rep movsb" once for each byte; glibc has loops that do the same.
TUNABLES = 'glibc.cpu.x86_rep_movsb_threshold=1000000000'
PAYLOADS = {100: 20000, 512: 10000, 8192: 800, 131072: 50}


def instructions(program, contestant, payload, messages):
    done = subprocess.run(
        [
            'valgrind',
            '--tool=callgrind',
            '--callgrind-out-file=/dev/null',
            program,
            'once',
            contestant,
            str(payload),
            str(messages),
        ],
        env={**os.environ, 'GLIBC_TUNABLES': TUNABLES},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return int(re.search(r'Collected : (\d+)', done.stderr).group(1))


def main():
    if not shutil.which('valgrind'):
        print('SKIPPED: there is no valgrind.')
        sys.exit(77)
    for payload, messages in PAYLOADS.items():
        print('\n%d B payloads, in place, instructions/message' % payload)
        for contestant in 'walk', 'session', 'libpq':
            received = instructions(sys.argv[1], contestant, payload, messages)
            found = (received - instructions(sys.argv[1], contestant, payload, 0)) / messages
            if found == 0:
                continue
            target = TARGETS.get((contestant, payload))
            print(
                '    %-36s %8.1f%s'
                % (
                    contestant,
                    found,
                    ''
                    if target is None
                    else '   target %d%s' % (target, '   OVER' * (found > target)),
                ),
                flush=True,
            )


if __name__ == '__main__':
    main()
