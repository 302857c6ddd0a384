#!/usr/bin/env python3
"""How large things may grow, and what may stand in them.

A header past 500 lines or a function past 70 means that the design is wrong there. Tables are
excused: one that a program writes says so with "Everything below is written by", lines that are one
case each of a switch do not count, and a unit test may be as long as its examples. Lines have at
most 100 columns and are ASCII, so that they look the same everywhere.
"""
import re
import sys

import tree

HEADER_LINES = 500
FUNCTION_LINES = 70
COLUMNS = 100
WRITTEN = 'Everything below is written by'


def violations(path, text):
    lines = text.split('\n')
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield '%s:%d: %d columns' % (path, number, len(line))
        if not line.isascii():
            yield '%s:%d: not ASCII' % (path, number)
        if '\t' in line or line.rstrip() != line:
            yield '%s:%d: a tab, or blanks at the end' % (path, number)
    if not text.endswith('\n'):
        yield '%s: the last line has no end' % path
    if path.endswith(('.hpp', '.h')):
        own = next((i for i, line in enumerate(lines) if WRITTEN in line), len(lines) - 1)
        if own > HEADER_LINES:
            yield '%s: %d lines' % (path, own)
    if not path.endswith(('.hpp', '.h', '.cpp')):
        return
    unit_test = path.startswith('tests/') and 'TEST_CASE(' in text
    for line, size in functions(text):
        if size > FUNCTION_LINES and not unit_test:
            yield '%s:%d: a function of %d lines' % (path, line, size)


def blanked(text):
    """The text with comments and literals as blanks of the same size."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                       r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.DOTALL)
    return token.sub(lambda match: re.sub(r'[^\n]', ' ', match.group()), text)


def functions(text):
    """(first line, lines) of every function body, lambdas counted with what they stand in."""
    clean = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: re.sub(r'[^\n]', ' ', m.group()),
                   blanked(text), flags=re.MULTILINE)
    stack, since = [], 0
    for match in re.finditer(r'[{};]', clean):
        if match.group() == '{':
            before = clean[since:match.start()]
            inside = any(kind == 'function' for kind, _ in stack)
            function = not inside and re.search(
                r'\)\s*(const|noexcept|override|final|->|requires|:|$)', before.strip())
            first = since + len(before) - len(before.lstrip())
            stack.append(('function' if function else 'other', first))
        elif match.group() == '}' and stack:
            kind, first = stack.pop()
            if kind == 'function':
                lines = text[first:match.end()].split('\n')
                cases = sum(1 for line in lines if re.match(r'\s*case .*: return .*;', line))
                yield clean.count('\n', 0, first) + 1, len(lines) - cases
        since = match.end()


def main():
    paths = tree.code() + tree.scripts()
    found = [violation for path in paths for violation in violations(path, tree.read(path))]
    sys.exit(tree.report(found, len(paths)))


if __name__ == '__main__':
    main()
