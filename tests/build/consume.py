#!/usr/bin/env python3
"""A consuming project finds, compiles, links and runs the library.

    consume.py subproject      as a Meson subproject, without building any test of ours
    consume.py pkg-config      installed, by pkg-config and a compiler
    consume.py meson           installed, by Meson's dependency()
    consume.py cmake           installed, moved elsewhere, by CMake's find_package()

Every header of the tree must be in the installation, and nothing else beside the two packages.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import tree
from sources import ROOT

CONSUMER = os.path.join(ROOT, 'tests', 'build', 'consumer')


def run(*command, **variables):
    done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit('%s\n%s' % (' '.join(command), done.stdout))
    return done.stdout


def meson_project(work, **variables):
    build = os.path.join(work, 'build')
    said = run('meson', 'setup', build, os.path.join(work, 'project'), **variables)
    run('meson', 'test', '-C', build)
    return said


def subproject(work):
    # A project sees the library's tree and must not be made to build its tests.
    os.mkdir(os.path.join(work, 'project', 'subprojects'))
    os.symlink(ROOT, os.path.join(work, 'project', 'subprojects', 'walwire'))
    said = meson_project(work, PKG_CONFIG_LIBDIR='/nonexistent', CMAKE_PREFIX_PATH='/nonexistent')
    targets = run('meson', 'introspect', '--targets', os.path.join(work, 'build'))
    if 'subproject' not in said or targets.count('"type": "executable"') != 1:
        sys.exit('the subproject was not used, or brought targets of its own:\n' + said + targets)


def install(work):
    prefix = os.path.join(work, 'installed')
    build = os.path.join(work, 'library')
    run('meson', 'setup', build, ROOT, '--prefix', prefix, '-Dtests=disabled',
        '-Dconsumers=disabled')
    run('meson', 'install', '-C', build)
    found = {os.path.relpath(os.path.join(folder, name), prefix)
             for folder, _, names in os.walk(prefix) for name in names}
    wanted = {os.path.join('include', 'walwire', header) for header in tree.headers()}
    wanted |= {'share/pkgconfig/walwire.pc', 'share/cmake/walwire/walwire-config.cmake',
               'share/cmake/walwire/walwire-config-version.cmake'}
    if found != wanted:
        sys.exit('installed and should not be, or the other way round: %s' % sorted(found ^ wanted))
    return prefix


def pkg_config(work):
    path = os.path.join(install(work), 'share', 'pkgconfig')
    said = [run('pkg-config', option, 'walwire', PKG_CONFIG_PATH=path).split()
            for option in ('--modversion', '--cflags', '--libs')]
    program = os.path.join(work, 'consumer')
    run(os.environ.get('CXX', 'c++'), '-std=c++20', *said[1], os.path.join(CONSUMER, 'main.cpp'),
        *said[2], '-o', program)
    if run(program).split() != ['walwire', said[0][0]]:
        sys.exit('the program and pkg-config say different versions')


def installed_meson(work):
    meson_project(work, PKG_CONFIG_PATH=os.path.join(install(work), 'share', 'pkgconfig'))


def cmake(work):
    moved = os.path.join(work, 'moved')
    shutil.move(install(work), moved)
    build = os.path.join(work, 'build')
    run('cmake', '-S', os.path.join(work, 'project'), '-B', build, '-DCMAKE_PREFIX_PATH=' + moved)
    run('cmake', '--build', build)
    run(os.path.join(build, 'consumer'))


def main():
    ways = {'subproject': subproject, 'pkg-config': pkg_config, 'meson': installed_meson,
            'cmake': cmake}
    with tempfile.TemporaryDirectory() as work:
        shutil.copytree(CONSUMER, os.path.join(work, 'project'))
        ways[sys.argv[1]](work)


if __name__ == '__main__':
    main()
