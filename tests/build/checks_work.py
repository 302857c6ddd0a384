#!/usr/bin/env python3
"""The checks beside this file, fed with what they must find and with what they must let pass."""
import unittest

import includes
import layout
import shape


class Includes(unittest.TestCase):
    def found(self, **texts):
        names = {name.replace('__', '/') + '.hpp': text for name, text in texts.items()}
        return list(includes.violations(names))

    def test_light_headers_and_arrows_up_pass(self):
        self.assertEqual(self.found(bytes='#include <span>\n',
                                    wire__tag='#include "../bytes.hpp"\n',
                                    wal__page='#include "../wire/tag.hpp"\n#include <bit>\n'), [])

    def test_heavy_headers_are_found_with_their_line(self):
        for name in ('string', 'vector', 'chrono', 'sys/socket.h', 'atomic'):
            found = self.found(bytes='#pragma once\n#  include <%s>\n' % name)
            self.assertEqual(found, ['bytes.hpp:2: <%s> is not among the light headers' % name])

    def test_exceptions_are_for_their_headers_only(self):
        self.assertEqual(self.found(replica__metrics='#include <atomic>\n'), [])
        self.assertEqual(self.found(auth__openssl='#include <openssl/evp.h>\n'), [])
        self.assertEqual(self.found(wal__crc32c='#include <immintrin.h>\n'), [])
        self.assertTrue(self.found(wal__page='#include <immintrin.h>\n'))

    def test_arrows_down_are_found(self):
        self.assertIn('points down', self.found(wire__a='#include "../wal/b.hpp"\n', wal__b='')[0])
        self.assertIn('points down', self.found(a='#include "wal/b.hpp"\n', wal__b='')[0])
        found = self.found(wal__b='#include "../walwire.hpp"\n', walwire='')
        self.assertIn('points down', found[0])
        self.assertEqual(self.found(walwire='#include "wal/b.hpp"\n', wal__b=''), [])

    def test_missing_targets_and_strange_folders_are_found(self):
        self.assertIn('no header of ours', self.found(a='#include "b.hpp"\n')[0])
        self.assertIn('no such folder', self.found(strange__a='')[0])

    def test_rounds_are_found(self):
        found = self.found(a='#include "b.hpp"\n', b='#include "c.hpp"\n', c='#include "a.hpp"\n')
        self.assertEqual(found, ['a.hpp: includes itself by way of a.hpp, b.hpp, c.hpp'])
        self.assertEqual(self.found(a='#include "b.hpp"\n#include "c.hpp"\n',
                                    b='#include "c.hpp"\n', c=''), [])
        self.assertEqual(self.found(a='#include "a_steps.hpp"\n', a_steps='#include "a.hpp"\n'), [])


class Shape(unittest.TestCase):
    def found(self, text, path='x.hpp'):
        return list(shape.violations(path, text))

    def test_lines(self):
        self.assertEqual(self.found('x' * 100 + '\n'), [])
        self.assertEqual(self.found('x' * 101 + '\n'), ['x.hpp:1: 101 columns'])
        self.assertEqual(self.found('// \u00e9\n'), ['x.hpp:1: not ASCII'])
        self.assertEqual(len(self.found('a \n\tb\n')), 2)
        self.assertEqual(self.found('a'), ['x.hpp: the last line has no end'])

    def test_headers(self):
        self.assertEqual(self.found('\n' * 500), [])
        self.assertEqual(self.found('\n' * 501), ['x.hpp: 501 lines'])
        self.assertEqual(self.found('\n' * 501, 'x.cpp'), [])
        table = '\n' * 400 + '// Everything below is written by x.py.\n' + '\n' * 400
        self.assertEqual(self.found(table), [])

    def test_functions(self):
        def function(head, lines, tail='}\n'):
            return '%s {\n%s%s' % (head, 'a;\n' * (lines - 2), tail)
        heads = ['void f()', 'int f(int a,\nint b) const noexcept', 'auto f() -> std::span<int>',
                 'x::x() noexcept : a_(1)', 'template <class T> requires(c<T>) void f(T t)',
                 'inline bool operator()(int) const']
        for head in heads:
            extra = head.count('\n')
            self.assertEqual(self.found(function(head, 70 - extra), 'x.cpp'), [], head)
            found = self.found(function(head, 71 - extra), 'x.cpp')
            self.assertEqual(found, ['x.cpp:1: a function of 71 lines'], head)

    def test_a_table_of_cases_does_not_count_and_unit_tests_are_excused(self):
        text = 'void f() {\n%s%s}\n' % ('case a: return "b";\n' * 90, 'a;\n' * 68)
        self.assertEqual(self.found(text), [])
        self.assertEqual(self.found(text.replace('a;\n', 'a;\na;\n', 1)),
                         ['x.hpp:1: a function of 71 lines'])
        self.assertEqual(self.found('TEST_CASE("a") {\n%s}\n' % ('a;\n' * 99), 'tests/a/b.cpp'), [])

    def test_what_is_no_function(self):
        for head in ('namespace a', 'struct a', 'class [[nodiscard]] a', 'enum class a : int',
                     'extern "C"'):
            self.assertEqual(self.found('%s {\n%s}\n' % (head, 'void f() { a; }\n' * 90), 'x.cpp'),
                             [], head)

    def test_a_function_inside_a_class_is_met_and_braces_in_literals_are_not(self):
        text = ('struct s {\nvoid f() {\nchar c = \'{\'; // {\nauto t = "{";\n%s}\n};\n'
                % ('a;\n' * 66))
        self.assertEqual(self.found(text, 'x.cpp'), [])
        text = text.replace('a;\n', 'if (x) {\nb;\n}\n', 1)
        self.assertEqual(self.found(text, 'x.cpp'), ['x.cpp:2: a function of 72 lines'])


class Layout(unittest.TestCase):
    def test_top_level(self):
        names = ['include', 'README.md', '.git', 'out', 'notes.txt', 'src']
        self.assertEqual(list(layout.top_level(names, lambda name: name == 'out')),
                         ['notes.txt does not belong at the top level',
                          'src does not belong at the top level'])

    def test_tests_of_headers(self):
        tests = {'wire/a.cpp': '#include <walwire/wire/a.hpp>\n',
                 'wire/b.cpp': '#include <vector>\n#include <walwire/wire/b.hpp>\n'}
        headers = ['config.hpp', 'wire/a.hpp', 'wire/b.hpp', 'wire/c.hpp']
        found = list(layout.tests_of(headers, tests))
        self.assertEqual(len(found), 2)
        self.assertIn('tests/wire/b.cpp: the first include', found[0])
        self.assertIn('wire/c.hpp has no', found[1])

    def test_a_part_may_be_tested_with_what_it_is_part_of(self):
        headers = ['wire/a.hpp', 'wire/a_tables.hpp', 'wire/ab.hpp']
        tests = {'wire/a.cpp': '#include <walwire/wire/a.hpp>\n'}
        self.assertEqual(list(layout.tests_of(headers, tests)),
                         ['include/walwire/wire/ab.hpp has no tests/wire/ab.cpp'])

    def test_fuzz_seeds(self):
        files = ['a.cpp', 'corpus/a/x', 'corpus/old/y', 'dictionary/a.dict', 'dictionary/old.dict']
        found = list(layout.fuzz_seeds(['a', 'b'], files))
        self.assertEqual(found, ['fuzz/corpus/b has no seeds',
                                 'fuzz/corpus/old/y belongs to no target',
                                 'fuzz/dictionary/old.dict belongs to no target'])

    def test_versions(self):
        header = ('version_major = 0;\nversion_minor = 1;\nversion_patch = %d;\n'
                  'version_text = "0.1.2";\n')
        self.assertEqual(list(layout.versions("version: '0.1.2'", header % 2)), [])
        self.assertEqual(len(list(layout.versions("version: '0.1.2'", header % 3))), 1)
        self.assertEqual(len(list(layout.versions("version: '0.2.2'", header % 2))), 1)


if __name__ == '__main__':
    unittest.main()
