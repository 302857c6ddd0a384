"""What ought to be in a directory of WAL, and what is.

A server's own pg_wal is the measure: a whole segment must be the same file there, a `.partial` the
same up to where the server had flushed. Names must follow one another without a gap.
"""
import hashlib
import os
import re

WHOLE = re.compile(r'[0-9A-F]{24}')
PARTIAL = re.compile(r'([0-9A-F]{24})\.partial')


def whole(directory, timeline=None):
    """The names of its whole segments, in order, of one timeline or of all."""
    return [
        name
        for name in sorted(os.listdir(directory))
        if WHOLE.fullmatch(name) and (timeline is None or int(name[:8], 16) == timeline)
    ]


def partial(directory):
    return [name for name in sorted(os.listdir(directory)) if PARTIAL.fullmatch(name)]


def others(directory):
    """Everything that is no segment and no history file."""
    return [
        name
        for name in sorted(os.listdir(directory))
        if not WHOLE.fullmatch(name)
        and not PARTIAL.fullmatch(name)
        and not re.fullmatch(r'[0-9A-F]{8}\.history', name)
    ]


def number(name, segment_size):
    return int(name[8:16], 16) * (2**32 // segment_size) + int(name[16:24], 16)


def name(at, segment_size, timeline=1):
    """Of the segment that holds the byte at a position."""
    per_file = 2**32 // segment_size
    index = at // segment_size
    return '%08X%08X%08X' % (timeline, index // per_file, index % per_file)


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def gaps(directory, segment_size, timeline=None):
    """Segments whose predecessor is not there."""
    names = whole(directory, timeline)
    return [
        name
        for before, name in zip(names, names[1:])
        if number(name, segment_size) != number(before, segment_size) + 1
    ]


def first_difference(one, other):
    at = 0
    step = 1 << 20
    while one[at : at + step] == other[at : at + step] and at < len(one):
        at += step
    return next(
        (i for i in range(at, min(len(one), len(other))) if one[i] != other[i]),
        min(len(one), len(other)),
    )


def records_end(segment):
    """Where the pages of a whole segment end that hold records. Behind a switch of segments all are
    empty: zeros, or a page header and zeros. A standby counts them as replayed as soon as it has
    replayed the switch, and may stream them before it has received them: then they are what its
    file held before, and nobody reads them."""
    page, header = 8192, 24
    end = len(segment)
    while end > page and not segment[end - page + header : end].strip(b'\0'):
        end -= page
    return end


def differences(directory, cluster, flushed, timeline=None, from_standby=False):
    """Everything that is not as in the cluster's pg_wal, which had flushed up to a position; of
    what it streamed as a standby, only where there are records."""
    found = []
    size = cluster.segment_size
    names = whole(directory, timeline)
    if not names:
        found.append('there is no whole segment')
    found += ['there is a gap before ' + name for name in gaps(directory, size, timeline)]
    for name in names:
        ours, theirs = read(os.path.join(directory, name)), read(cluster.wal(name))
        end = records_end(theirs) if from_standby else None
        if ours[:end] != theirs[:end] or len(ours) != len(theirs):
            found.append(
                '%s: %d and %d bytes, which differ at byte %d'
                % (name, len(ours), len(theirs), first_difference(ours, theirs))
            )
    for name in partial(directory):
        bare = PARTIAL.fullmatch(name).group(1)
        if timeline is not None and int(name[:8], 16) != timeline:
            continue
        ours = read(os.path.join(directory, name))
        if len(ours) != size:
            found.append('%s has %d bytes' % (name, len(ours)))
        if bare in names:
            found.append('%s is there whole, too' % name)
        upto = min(max(flushed - number(bare, size) * size, 0), size)
        theirs = read(cluster.wal(bare))[:upto]
        if ours[:upto] != theirs:
            found.append('%s differs at byte %d' % (name, first_difference(ours[:upto], theirs)))
    return found


def state(directory):
    """The names, sizes and contents of all its files, to see whether anything changes."""
    return {
        name: hashlib.sha256(read(os.path.join(directory, name))).hexdigest()
        for name in os.listdir(directory)
    }
