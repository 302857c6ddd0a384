#!/usr/bin/env python3
"""Writes the tables of include/walwire/auth/saslprep_tables.hpp, and the checksums of their test.

    saslprep_tables.py HEADER     rewrites what stands below the marker line of that header
    saslprep_tables.py            prints the checksums that tests/auth/saslprep.cpp expects

The source is Python's own Unicode data: `stringprep` has the tables of RFC 3454, `unicodedata` a
modern Unicode for normalisation. Unicode never changes the normalisation of an assigned character,
so that every Python 3 gives the same tables. `prepare` below is the model that the library is
tested against; it was compared with the verifiers that libpq 15 makes of 29,000 passwords.
"""
import stringprep
import sys
import unicodedata

MARKER = "// Everything below is written by tests/auth/saslprep_tables.py."
PLAIN, LETTER, RIGHT_TO_LEFT, REFUSED, SPACE, NOTHING = range(6)
WIDTH = 80

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def kind(c):
    s = chr(c)
    if stringprep.in_table_c12(s):
        return SPACE
    if stringprep.in_table_b1(s):
        return NOTHING
    prohibited = (stringprep.in_table_c21, stringprep.in_table_c22, stringprep.in_table_c3,
                  stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6,
                  stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9,
                  stringprep.in_table_a1)
    if any(test(s) for test in prohibited):
        return REFUSED
    if stringprep.in_table_d1(s):
        return RIGHT_TO_LEFT
    return LETTER if stringprep.in_table_d2(s) else PLAIN


def prepare(text):
    """SASLprep as PostgreSQL does it; `text` itself where a rule is broken."""
    if text.isascii():
        return text
    kinds = [kind(ord(c)) for c in text]
    mapped = "".join(" " if k == SPACE else c for c, k in zip(text, kinds) if k != NOTHING)
    kinds = [kind(ord(c)) for c in mapped]
    if not mapped or REFUSED in kinds:
        return text
    if RIGHT_TO_LEFT in kinds:
        if LETTER in kinds or kinds[0] != RIGHT_TO_LEFT or kinds[-1] != RIGHT_TO_LEFT:
            return text
    return unicodedata.normalize("NFKC", mapped)


def number(n):
    digits = chr(ord("A") + n % 26)
    while n >= 26:
        n //= 26
        digits = chr(ord("a") + n % 26) + digits
    return digits


def signed(n):
    return number(2 * n if n >= 0 else -2 * n - 1)


def lines(records):
    """Packs records (first code point, function of the line's state -> text, next state)."""
    out = []
    state = None
    for first, encode in records:
        if state is not None:
            text, after = encode(state)
            if len(out[-1][1]) + len(text) <= WIDTH:
                out[-1][1] += text
                state = after
                continue
        text, state = encode((first, 0))
        out.append([first, text])
    return out


def class_lines():
    runs = []
    for c in range(0x110000):
        k = REFUSED if 0xD800 <= c < 0xE000 else kind(c)
        if runs and runs[-1][2] == k:
            runs[-1][1] += 1
        else:
            runs.append([c, 1, k])
    # What is refused up to the very end needs no run: a text that ends is refused from there on.
    assert runs.pop()[2] == REFUSED
    return lines((first, lambda s, n=n, k=k: (number(n * 6 + k), s)) for first, n, k in runs)


def mark_lines():
    runs = []
    for c in ALL:
        ccc = unicodedata.combining(chr(c))
        if not ccc or kind(c) == REFUSED:
            continue
        if runs and runs[-1][0] + runs[-1][1] == c and runs[-1][2] == ccc:
            runs[-1][1] += 1
        else:
            runs.append([c, 1, ccc])

    def encode(state, first, count, ccc):
        return number(first - state[0]) + number(count) + number(ccc), (first + count, 0)

    return lines((r[0], lambda s, r=r: encode(s, *r)) for r in runs)


def decomposition_lines():
    runs = []
    for c in ALL:
        to = [ord(x) for x in unicodedata.normalize("NFKD", chr(c))]
        if to == [c] or 0xAC00 <= c < 0xD7A4 or kind(c) in (REFUSED, SPACE, NOTHING):
            continue
        if runs and runs[-1][0] + runs[-1][1] == c:
            first, count, step, start = runs[-1]
            for s in ((0, 1) if count == 1 else (step,)):
                if to == [start[0] + s * count] + start[1:]:
                    runs[-1] = [first, count + 1, s, start]
                    break
            else:
                runs.append([c, 1, 0, to])
        else:
            runs.append([c, 1, 0, to])

    def encode(state, first, count, step, to):
        form = 0 if count == 1 else 1 + step
        text = number(first - state[0]) + number((len(to) - 1) * 3 + form)
        if form:
            text += number(count)
        before = state[1]
        for c in to:
            text += signed(c - before)
            before = c
        return text, (first + count, to[0])

    return lines((r[0], lambda s, r=r: encode(s, *r)) for r in runs)


def composition_lines():
    pairs = {}
    for c in ALL:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) != 2 or parts[0][0] == "<" or kind(c) == REFUSED:
            continue
        if unicodedata.normalize("NFC", chr(c)) != chr(c):
            continue
        first, second = (int(p, 16) for p in parts)
        pairs.setdefault(second, []).append((first, c))
    out = []
    for second in sorted(pairs):
        out.append([second, ""])
        state = (0, 0)
        for first, composite in sorted(pairs[second]):
            text = number(first - state[0]) + signed(composite - state[1])
            if len(out[-1][1]) + len(text) > WIDTH:
                out.append([second, ""])
                text = number(first) + signed(composite)
            out[-1][1] += text
            state = (first, composite)
    return out


def rewrite(path):
    with open(path, encoding="ascii") as header:
        kept = header.read().split(MARKER)[0]
    text = kept + MARKER + "\n"
    for name, table in (("class_lines", class_lines()), ("mark_lines", mark_lines()),
                        ("composition_lines", composition_lines()),
                        ("decomposition_lines", decomposition_lines())):
        text += f"\ninline constexpr table_line {name}[] = {{\n"
        for first, packed in table:
            text += f'    {{0x{first:04X}, "{packed}"}},\n'
        text += "};\n"
    text += "\n} // namespace walwire::auth::detail\n"
    with open(path, "w", encoding="ascii") as header:
        header.write(text)


# The texts of the test, made alike on both sides.

RANGES = [(0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x386, 0x3FF), (0x590, 0x6FF),
          (0x915, 0x94D), (0x9BC, 0x9DF), (0xDC0, 0xDDF), (0xF40, 0xF84), (0x1100, 0x11FF),
          (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2200, 0x22FF), (0x2460, 0x24FF),
          (0x2E80, 0x2FDF), (0x3040, 0x30FF), (0x3131, 0x33FF), (0xAC00, 0xAC7F), (0xF900, 0xFAFF),
          (0xFB00, 0xFDFF), (0xFE00, 0xFEFF), (0xFF00, 0xFFEF), (0x1D100, 0x1D1FF),
          (0x1D400, 0x1D7FF), (0x2F800, 0x2FA1D)]
MASK = (1 << 64) - 1


class Random:
    """splitmix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def random_text(random):
    """One to twelve characters out of one to three ranges."""
    ranges = [RANGES[random.below(len(RANGES))] for _ in range(1 + random.below(3))]
    text = ""
    for _ in range(1 + random.below(12)):
        low, high = ranges[random.below(len(ranges))]
        text += chr(low + random.below(high - low + 1))
    return text


def checksum(texts):
    """FNV-1a, 64 bits, over every prepared text and a byte 0xFF behind each."""
    value = 0xCBF29CE484222325
    for text in texts:
        for byte in prepare(text).encode() + b"\xff":
            value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def print_checksums():
    for plane in range(17):
        of_plane = [chr(c) for c in ALL if c >> 16 == plane]
        print(f"alone, plane {plane}: 0x{checksum(of_plane):016x}")
    for before, after in (("a", "a"), ("\u05d0", "\u05d0"), ("1", "\u0301"), ("", "\u05d0")):
        some = [before + chr(c) + after for c in ALL if c < 0x30000]
        print(f"between {ascii(before)} and {ascii(after)}: 0x{checksum(some):016x}")
    for seed in range(4):
        random = Random(seed)
        print(f"random, seed {seed}: 0x{checksum(random_text(random) for _ in range(20000)):016x}")


if __name__ == "__main__":
    rewrite(sys.argv[1]) if len(sys.argv) == 2 else print_checksums()
