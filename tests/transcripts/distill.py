#!/usr/bin/env python3
"""Distils recorded conversations into the transcripts that stand in this folder.

    distill.py RECORDINGS OUT    writes OUT/pgNN/CASE.txt for the chosen recordings, checks each
    distill.py --check DIR       decodes every transcript under DIR, compares sizes and checksums,
                                 looks whether archives are as they should be
    distill.py --show FILE       prints a transcript's bytes as plain hex, one record a line

RECORDINGS holds pgNN/CASE.txt or pgNN/CASE.txt.gz as a proxy between a real client and a real
server wrote them: "C <hex>" and "S <hex>" for what each side sent, "# text" for remarks. README.md
says which servers, and describes the format that this writes. Nothing of a conversation is lost,
but for the bodies of files in base backups: the decoder stands beside the encoder, and every file
is decoded again and compared before it is kept.
"""
import gzip
import os
import re
import struct
import sys
import zlib

VERSIONS = ('pg12', 'pg13', 'pg15', 'pg17', 'pg18')

# What a physical replica meets: authentication, commands, streams, timelines, base backups, errors,
# shutdowns.
GROUPS = 'abcdef'

# Conversations that carry much, nearly the same in every version: only these versions are kept.
LARGE = {
    'b05_timeline_history_3': ('pg12', 'pg18'),
    'b11_start_physical_slot': ('pg18',),
    'b12_copydone_mid_stream': ('pg18',),
    'b17_seg16_stream': ('pg18',),
    'b20_pg_receivewal15.c2': (),
    'b20_pg_receivewal15.c3': (),
    'b20_pg_receivewal18.c2': ('pg12', 'pg13', 'pg15', 'pg18'),
    'b20_pg_receivewal18.c3': ('pg12', 'pg13', 'pg15'),
    'c04_live_promotion': ('pg12', 'pg15', 'pg18'),
    'c05_pg_receivewal15_promotion': ('pg12',),
    'c05_pg_receivewal18_promotion': ('pg18',),
    'd01_basebackup': ('pg12', 'pg13', 'pg15', 'pg18'),
    'd03_basebackup_wal': ('pg12', 'pg18'),
    'd04_basebackup_gzip': ('pg15',),
    'd04_basebackup_gzip_full': (),
    'd05_basebackup_lz4': (),
    'd05_basebackup_lz4_full': ('pg17',),
    'd06_basebackup_zstd': (),
    'd06_basebackup_zstd_full': ('pg18',),
    'd11_basebackup_errors_full': (),
    'd12_checksum_failure': ('pg12', 'pg13', 'pg15', 'pg18'),
    'd20_pg_basebackup15': ('pg12',),
    'd20_pg_basebackup15.c2': ('pg15',),
    'd20_pg_basebackup18': ('pg18',),
    'd20_pg_basebackup18.c2': ('pg12', 'pg13', 'pg18'),
    'd21_pg_basebackup15_server_gzip': (),
    'd21_pg_basebackup18_server_gzip': ('pg17',),
    'd30_full_for_incremental': (),
    'd33_pg_basebackup18_incremental_full': (),
    'd40_pg_basebackup18_default_cluster': (),
}

# Of a base backup's files these keep their bodies, and INCREMENTAL files their heads, which list
# the blocks that follow. All other bodies are zeros, and the transcript's head says so.
KEPT_FILES = ('backup_label', 'tablespace_map', 'PG_VERSION', 'pg_control')
BLANK_FILES = ('bodies of files are zeros, but for those of %s and the heads of INCREMENTAL files'
               % ', '.join(KEPT_FILES))
BLANK_BASE = 'the compressed archive of the base directory is zeros'
BLOCK = 512             # of a tar

WIDTH = 100
COPY_MIN = 8            # a shorter repetition reads better as itself
RUN_MIN = 6             # as does a shorter run of one byte
SSL, GSS, CANCEL = 80877103, 80877104, 80877102


def load_recording(path):
    """The headers, and the events (direction, bytes) or ('#', remark)."""
    heads, events = [], []
    with gzip.open(path, 'rt') if path.endswith('.gz') else open(path) as file:
        for line in file:
            line = line.rstrip('\n')
            if line.startswith('# pgwire-transcript'):
                continue
            if line.startswith('#'):
                (events if events or re.match('# (eof|reset|TLS|not)', line) else heads).append(
                    ('#', line[2:]))
            else:
                direction, digits = line.split(' ', 1)
                events.append((direction, bytes.fromhex(digits)))
    return [text for _, text in heads], joined(events)


def joined(events):
    """Neighbours of the same direction as one: where recv() cut them says nothing."""
    out = []
    for direction, data in events:
        if direction != '#' and out and out[-1][0] == direction:
            out[-1] = (direction, out[-1][1] + data)
        else:
            out.append((direction, data))
    return out


class Borders:
    """Finds message borders in one direction's bytes, which may arrive in any pieces."""

    def __init__(self, direction):
        self.typed = direction == 'S'
        self.left = 0           # bytes of the present message that have not come
        self.kind = ''          # 'typed' with a tag and a length, 'copy' for CopyData, or neither
        self.answers = 0        # one-byte answers to SSLRequest or GSSENCRequest that are owed

    def split(self, data):
        """Yields (bytes, kind): whole messages, or what has come of one.

        The kind says how a message begins; 'more' goes on with CopyData.
        """
        at = 0
        while at < len(data):
            if self.left == 0:
                typed, self.left = self.next_size(data[at:at + 8], len(data) - at)
                self.kind = ('copy' if data[at:at + 1] == b'd' else 'typed') if typed else ''
                kind = self.kind
            else:
                kind = 'more' if self.kind == 'copy' else ''
            piece = data[at:at + self.left]
            at += len(piece)
            self.left -= len(piece)
            yield piece, kind

    def next_size(self, data, rest):
        """Whether a message begins here, and the size of it, or else of the rest."""
        if self.answers and self.typed and data[:1] in (b'S', b'N', b'G'):
            self.answers -= 1
            return False, 1
        if self.typed and len(data) >= 5:
            size = 1 + struct.unpack('!I', data[1:5])[0]
            return (True, size) if size >= 5 else (False, rest)
        if not self.typed and len(data) >= 8:
            size, code = struct.unpack('!II', data[:8])
            if 8 <= size <= 10000:
                self.typed = code not in (SSL, GSS, CANCEL)
                self.asked = code in (SSL, GSS)
                return False, size
        return False, rest


def lines_of(events):
    """The events cut at message borders: (direction, bytes, kind)."""
    sides = {'C': Borders('C'), 'S': Borders('S')}
    for direction, data in events:
        if direction == '#':
            yield '#', data, ''
            continue
        for piece, kind in sides[direction].split(data):
            if direction == 'C' and getattr(sides['C'], 'asked', False):
                sides['C'].asked = False
                sides['S'].answers += 1
            yield direction, piece, kind


class Copies:
    """The archives that a base backup consists of, as places in what the server said."""

    def __init__(self, typed):
        self.typed = typed      # 15 and later: the first byte of a CopyData says what it is
        self.archives = []      # name, or nothing where there is none, and [(offset, size)]
        self.places = []        # of the part that is open
        self.begun = b''        # the first byte of a typed CopyData

    def message(self, at, data, kind):
        if kind == 'typed' and data[:1] == b'H' and not self.typed:
            self.open(b'')
        elif kind == 'copy' and self.typed:
            self.begun = data[5:6]
            if self.begun == b'n':
                self.open(data[6:].split(b'\0')[0])
            elif self.begun == b'm':
                self.places = []
            elif self.begun == b'd':
                self.places.append((at + 6, len(data) - 6))
        elif kind == 'copy':
            self.places.append((at + 5, len(data) - 5))
        elif kind == 'more' and self.begun in (b'', b'd'):
            self.places.append((at, len(data)))

    def open(self, name):
        self.places = []
        self.archives.append((name, self.places))


def blanked(heads, events):
    """The events with zeros for the bodies of files in their archives, and the head that says so.

    The archives of tablespaces are small: where they are compressed they are kept as they are.
    """
    version = int(re.search(r'PostgreSQL (\d+)', '\n'.join(heads)).group(1))
    said, copies = bytearray(), Copies(version >= 15)
    for direction, data, kind in lines_of(events):
        if direction == 'S':
            copies.message(len(said), data, kind)
            said += data
    remark = None
    for name, places in copies.archives:
        archive = bytearray(b''.join(said[at:at + size] for at, size in places))
        if archive[257:262] == b'ustar':
            blank(archive)
            remark = BLANK_FILES
        elif name.startswith(b'base.tar.'):
            archive = bytearray(len(archive))
            remark = BLANK_BASE
        for at, size in places:
            said[at:at + size], archive = archive[:size], archive[size:]
    out, at = [], 0
    for direction, data in events:
        size = len(data) if direction == 'S' else 0
        out.append((direction, bytes(said[at:at + size]) if size else data))
        at += size
    return heads + [remark] if remark else heads, out


def blank(tar):
    """Puts zeros in place of the bodies of files."""
    at = 0
    while at + BLOCK <= len(tar) and tar[at]:
        path = tar[at:at + 100].rstrip(b'\0').decode()
        size = int(tar[at + 124:at + 136].rstrip(b' \0'), 8)
        if sum(tar[at:at + BLOCK]) - sum(tar[at + 148:at + 156]) + 8 * 32 != int(
                tar[at + 148:at + 156].rstrip(b' \0'), 8):
            sys.exit('%s: no tar header' % path)
        at += BLOCK
        name = os.path.basename(path)
        keep = size if name in KEPT_FILES else 0
        if name.startswith('INCREMENTAL.'):
            keep = 12 + 4 * struct.unpack('<I', tar[at + 4:at + 8])[0]
        tar[at + keep:at + size] = bytes(size - keep)
        at += (size + BLOCK - 1) // BLOCK * BLOCK
    if any(tar[at:]):
        sys.exit('something stands behind the end of an archive')


class Encoder:
    """Turns one side's messages into words, remembering what was said for later copies."""

    def __init__(self):
        self.said = bytearray()
        self.seen = {}

    def message(self, data, kind):
        words, at = [], 0
        if kind in ('typed', 'copy') and 33 <= data[0] < 127:
            words.append('%c:%d' % (data[0], struct.unpack('!I', data[1:5])[0]))
            at = 5
        start = len(self.said)
        self.said += data
        if kind in ('copy', 'more'):
            if kind == 'copy':
                at = self.copy_data(data, words)
            self.payload(start + at, words)
        else:
            literal(data[at:], words, 2)
        return words

    def copy_data(self, data, words):
        """The fixed fields of the replication messages stand as words of their own.

        So does what begins the data of a backup, lest it hides that zeros follow.
        """
        kind = data[5:6]
        fields = {b'w': (8, 8, 8), b'k': (8, 8, 1), b'r': (8, 8, 8, 8, 1), b'h': (8, 4, 4, 4, 4),
                  b'd': ()}
        if kind not in fields or len(data) < 6 + sum(fields[kind]):
            return 5
        words.append('"%s"' % kind.decode())
        at = 6
        for size in fields[kind]:
            words.append(data[at:at + size].hex())
            at += size
        return at

    def payload(self, at, words):
        """WAL and the like: literals, runs of one byte, and copies of what stands further up."""
        said, plain = self.said, at
        while at < len(said):
            run = run_length(said, at)
            if run >= RUN_MIN:
                literal(said[plain:at], words, 4)
                words.append('%02x*%d' % (said[at], run))
                self.remember(at, 1)
                at = plain = at + run
                continue
            source, size = self.longest(at)
            if size >= COPY_MIN:
                literal(said[plain:at], words, 4)
                words.append('@%d+%d' % (at - source, size))
                self.remember(at, size)
                at = plain = at + size
                continue
            self.remember(at, 1)
            at += 1
        literal(said[plain:], words, 4)

    def remember(self, at, size):
        for i in range(at, at + size):
            places = self.seen.setdefault(bytes(self.said[i:i + COPY_MIN]), [])
            places.append(i)
            if len(places) > 16:
                del places[0]

    def longest(self, at):
        said, best = self.said, (0, 0)
        for source in reversed(self.seen.get(bytes(said[at:at + COPY_MIN]), ())):
            size = COPY_MIN
            while at + size < len(said) and said[source + size] == said[at + size]:
                size += 1
            if size > best[1]:
                best = (source, min(size, len(said) - at))
        return best


def run_length(data, at):
    end = at + 1
    while end < len(data) and data[end] == data[at]:
        end += 1
    return end - at


def literal(data, words, text_min):
    """Readable text in quotes, the rest in hex."""
    at = 0
    for match in re.finditer(rb'[ !#-~]{%d,}' % text_min, bytes(data)):
        if match.start() > at:
            words.append(data[at:match.start()].hex())
        words.append('"%s"' % match.group().decode())
        at = match.end()
    if at < len(data):
        words.append(data[at:].hex())


def wrapped(direction, words):
    """Lines of at most WIDTH columns; those that go on begin with a blank."""
    line = direction
    for word in words:
        while len(line) + 1 + len(word) > WIDTH:
            room = WIDTH - len(line) - 1
            head, word = cut_word(word, room) if room >= 12 else ('', word)
            yield line + (' ' + head if head else '')
            line = ' '
        line += ' ' + word
    yield line


def cut_word(word, room):
    """Text and hex may be cut anywhere between bytes; other words may not."""
    if word.startswith('"') and len(word) > room:
        return word[:room - 1] + '"', '"' + word[room - 1:]
    if re.fullmatch('[0-9a-f]+', word):
        room -= room % 2
        return word[:room], word[room:]
    return '', word


def encoded(heads, events):
    sides = {'C': Encoder(), 'S': Encoder()}
    body = []
    for direction, data, kind in lines_of(events):
        if direction == '#':
            body.append('# ' + data)
        else:
            body += wrapped(direction, sides[direction].message(data, kind))
    sums = ''.join(' %s %d %08x' % (side, len(sides[side].said), zlib.crc32(sides[side].said))
                   for side in 'CS')
    top = ['# ' + head for head in heads] + ['# bytes:' + sums]
    return '\n'.join(top + body) + '\n'


def decoded(text):
    """The events of a transcript, and what its '# bytes:' line promises."""
    said = {'C': bytearray(), 'S': bytearray()}
    events, promised, direction = [], None, None
    for line in text.splitlines():
        if line.startswith('#'):
            if line.startswith('# bytes:'):
                promised = line[9:]
            elif re.match('# (eof|reset|TLS|not)', line):
                events.append(('#', line[2:]))
            continue
        if not line.startswith(' '):
            direction, line = line[0], line[1:]
        start = len(said[direction])
        for quoted, word in re.findall(r'"([^"]*)"|(\S+)', line):
            say(said[direction], quoted, word)
        events.append((direction, bytes(said[direction][start:])))
    sums = ' '.join('%s %d %08x' % (side, len(said[side]), zlib.crc32(said[side])) for side in 'CS')
    return joined(events), promised, sums


def say(said, quoted, word):
    if not word:
        said += quoted.encode()
    elif word[1:2] == ':':
        said += word[:1].encode() + struct.pack('!I', int(word[2:]))
    elif word[0] == '@':
        distance, size = map(int, word[1:].split('+'))
        piece = said[len(said) - distance:len(said) - distance + size]
        said += (piece * (size // len(piece) + 1))[:size]
    elif '*' in word:
        byte, count = word.split('*')
        said += bytes.fromhex(byte) * int(count)
    else:
        said += bytes.fromhex(word)


def distill(source, target):
    total = 0
    for version in VERSIONS:
        os.makedirs(os.path.join(target, version), exist_ok=True)
        for name in sorted(os.listdir(os.path.join(source, version))):
            path = os.path.join(source, version, name)
            if name.endswith('.pem'):
                with open(path) as file, open(os.path.join(target, version, name), 'w') as copy:
                    copy.write(file.read())
                continue
            case = re.sub(r'\.txt(\.gz)?$', '', name)
            if case[0] not in GROUPS or version not in LARGE.get(case, VERSIONS):
                continue
            heads, events = load_recording(path)
            if case[0] == 'd':
                heads, events = blanked(heads, events)
            text = encoded(heads, events)
            again, promised, sums = decoded(text)
            if again != events or promised != sums:
                sys.exit('%s: what was written does not decode to what was read' % path)
            total += len(text)
            with open(os.path.join(target, version, case + '.txt'), 'w') as file:
                file.write(text)
    print('%d bytes' % total)


def check(folder):
    count = 0
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if not name.endswith('.txt'):
                continue
            with open(os.path.join(root, name), encoding='ascii') as file:
                text = file.read()
            events, promised, sums = decoded(text)
            if promised != sums:
                sys.exit('%s: says "%s", holds "%s"' % (os.path.join(root, name), promised, sums))
            heads = [line[2:] for line in text.split('\nC ', 1)[0].splitlines()]
            if name.startswith('d') and blanked(heads, events)[1] != events:
                sys.exit('%s: bodies of files are no zeros' % os.path.join(root, name))
            count += 1
    if not count:
        sys.exit('no transcripts under ' + folder)
    print('%d transcripts hold what they say' % count)


def show(path):
    with open(path, encoding='ascii') as file:
        for direction, data in decoded(file.read())[0]:
            print(direction, data if direction == '#' else data.hex())


def main():
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == '--check':
        check(words[1])
    elif len(words) == 2 and words[0] == '--show':
        show(words[1])
    elif len(words) == 2:
        distill(*words)
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main()
