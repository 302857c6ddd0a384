#!/usr/bin/env python3
"""What each header of the library may include.

From the standard library only the light headers: the others triple the compile time of every file
that includes us, or bring along what the core must not have (I/O, clocks, allocation, exceptions).
From our own folders only those further up the tree, so that there is one direction to read in.
Every include of ours is relative and exists, and nothing includes itself, however far around.
"""
import os
import re
import sys

import tree

LIGHT = set('array bit compare concepts cstddef cstdint cstring limits optional span string_view '
            'type_traits utility variant'.split())

# Headers that need more, and why.
MORE = {
    r'.*metrics\.hpp': {'atomic'},                   # counters that another thread reads
    r'auth/openssl\.hpp': None,                      # the opt-in provider: whatever libcrypto wants
    # The instructions for checksums.
    r'wal/crc32c\w*\.hpp': {'immintrin.h', 'nmmintrin.h', 'wmmintrin.h', 'arm_acle.h',
                            'arm_neon.h'},
    r'c/walwire\.h': {'stddef.h', 'stdint.h', 'stdbool.h'},
}

# From the top of the tree to the bottom; '' is include/walwire itself.
FOLDERS = ['', 'wire', 'auth', 'wal', 'backup', 'aiondb', 'replica', 'primary', 'c']
EVERYTHING = 'walwire.hpp'


def included(text):
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.MULTILINE):
        yield text.count('\n', 0, match.start()) + 1, match.group(1), match.group(2)


def allowed(header):
    for pattern, more in MORE.items():
        if re.fullmatch(pattern, header):
            return None if more is None else LIGHT | more
    return LIGHT


def violations(texts):
    """`texts` maps each header's path below include/walwire to its text."""
    arrows = {}
    for header, text in sorted(texts.items()):
        light = allowed(header)
        arrows[header] = []
        if os.path.dirname(header) not in FOLDERS:
            yield '%s: no such folder in the tree' % header
            continue
        for line, kind, name in included(text):
            if kind == '<':
                if light is not None and name not in light:
                    yield '%s:%d: <%s> is not among the light headers' % (header, line, name)
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(header), name))
            arrows[header].append(target)
            if target not in texts:
                yield '%s:%d: "%s" is no header of ours' % (header, line, name)
            elif header != EVERYTHING and not points_up(header, target):
                yield '%s:%d: "%s" points down the tree' % (header, line, name)
    yield from rounds(arrows)


def points_up(header, target):
    if target == EVERYTHING:
        return False
    folders = [os.path.dirname(path) for path in (target, header)]
    return folders[0] in FOLDERS and FOLDERS.index(folders[0]) <= FOLDERS.index(folders[1])


def rounds(arrows):
    state = {}

    def visit(header, trail):
        state[header] = 'open'
        for target in arrows.get(header, ()):
            if state.get(target) == 'open' and not bodies(target, header):
                yield '%s: includes itself by way of %s' % (target, ', '.join(trail + [header]))
            if target not in state:
                yield from visit(target, trail + [header])
        state[header] = 'done'

    for header in sorted(arrows):
        if header not in state:
            yield from visit(header, [])


def bodies(header, part):
    """x.hpp may end with an include of x_steps.hpp, which holds the bodies and stands alone too."""
    return part.removesuffix('.hpp').startswith(header.removesuffix('.hpp') + '_')


def main():
    texts = {header: tree.read(os.path.join(tree.LIBRARY, header)) for header in tree.headers()}
    found = list(violations(texts))
    everything = {target for _, kind, target in included(texts.get(EVERYTHING, '')) if kind == '"'}
    if EVERYTHING in texts:
        optional = re.compile(r'auth/openssl\.hpp|c/.*|walwire\.hpp')
        reached, queue = set(), sorted(everything)
        while queue:
            header = queue.pop()
            if header in reached:
                continue
            reached.add(header)
            queue += [os.path.normpath(os.path.join(os.path.dirname(header), name))
                      for _, kind, name in included(texts.get(header, '')) if kind == '"']
        found += ['%s does not bring %s' % (EVERYTHING, header) for header in sorted(texts)
                  if header not in reached and not optional.fullmatch(header)]
    sys.exit(tree.report(found, len(texts)))


if __name__ == '__main__':
    main()
