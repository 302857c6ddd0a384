"""Certificates for one run of the tests: an authority, what it signs, and an authority nobody
trusts."""
import os
import subprocess

from support import cluster

NAME = 'server.walwire.test'


def openssl(folder, *words):
    subprocess.run(
        ['openssl', *words],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def authority(folder, name):
    openssl(
        folder,
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '30',
        '-subj',
        '/CN=' + name,
        '-keyout',
        name + '.key',
        '-out',
        name + '.crt',
    )


def signed(folder, by, name, subject, extension):
    with open(os.path.join(folder, name + '.ext'), 'w') as file:
        file.write(extension)
    openssl(
        folder,
        'req',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-subj',
        '/CN=' + subject,
        '-keyout',
        name + '.key',
        '-out',
        name + '.csr',
    )
    openssl(
        folder,
        'x509',
        '-req',
        '-in',
        name + '.csr',
        '-CA',
        by + '.crt',
        '-CAkey',
        by + '.key',
        '-CAcreateserial',
        '-days',
        '30',
        '-extfile',
        name + '.ext',
        '-out',
        name + '.crt',
    )


def make(client):
    """A directory with root, other, server and client: a .crt and a .key each. `client` is the name
    of the role that the client's certificate stands for."""
    folder = cluster.directory('certificates')
    authority(folder, 'root')
    authority(folder, 'other')
    signed(folder, 'root', 'server', NAME, 'subjectAltName=DNS:' + NAME)
    signed(folder, 'root', 'client', client, 'extendedKeyUsage=clientAuth')
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o600)
        cluster.own(os.path.join(folder, name))
    return folder
