#!/usr/bin/env python3
"""`walwire receive` and servers that no PostgreSQL is: they break the protocol, cut connections
off, or say nothing at all.

Each is a script on the loopback device. Nobody is waited for who cannot be helped: what is wrong
every time ends walwire with status 1 and one line, and the directory can be gone on with.
"""
import os
import signal
import socket
import ssl
import struct
import threading
import time

from support import archive, certificates, cluster, entries, live, relay, walwire
from support.listening import Listening
from support.raw import message

SYSTEM = 7_000_000_000_000_000_001
START = 0x1000000
SEGMENT = 1 << 20


def row(*values):
    """One row of text, and all that stands around it."""
    column = b'c\0' + struct.pack('>IHIhiH', 0, 0, 25, -1, -1, 0)
    fields = b''.join(struct.pack('>i', len(each)) + each for each in values)
    count = struct.pack('>H', len(values))
    return (
        message(b'T', count + column * len(values))
        + message(b'D', count + fields)
        + message(b'C', b'SELECT\0')
        + message(b'Z', b'I')
    )


def wal(at, data):
    return message(b'd', b'w' + struct.pack('>QQQ', at, 0, 0) + data)


def log(size):
    """The beginning of a segment, as a server of this system writes it."""
    head = struct.pack('<HHIQIIQII', 0xD110, 2, 1, START, 0, 0, SYSTEM, SEGMENT, 8192)
    return head + bytes(at % 251 for at in range(size - len(head)))


class Script(Listening):
    """A server that lets everybody in, and streams what `stream(line)` sends."""

    def __init__(self, stream, context=None):
        self.stream = stream
        self.context = context
        self.connections = 0
        super().__init__()

    def conninfo(self):
        return 'host=127.0.0.1 port=%d user=replica sslmode=%s' % (
            self.port,
            'require' if self.context else 'disable',
        )

    def heard(self, line):
        self.connections += 1
        with line:
            self.serve(line)

    def serve(self, line):
        if self.context:
            line.recv(8, socket.MSG_WAITALL)  # SSLRequest
            line.sendall(b'S')
            line = self.context.wrap_socket(line, server_side=True, suppress_ragged_eofs=False)
        line.recv(1000)
        line.sendall(message(b'R', b'\0\0\0\0') + message(b'S', b'server_version\x0015.1\0'))
        line.sendall(message(b'Z', b'I'))
        while words := line.recv(1000):
            if b'IDENTIFY_SYSTEM' in words:
                line.sendall(row(b'%d' % SYSTEM, b'1', b'0/1800000', b''))
            elif b'wal_segment_size' in words:
                line.sendall(row(b'1MB'))
            elif b'data_directory_mode' in words:
                line.sendall(row(b'0700'))
            elif b'START_REPLICATION' in words:
                line.sendall(message(b'W', b'\0\0\0'))
                self.stream(line)
                return


class Hostile(live.Live):
    def script(self, stream, **more):
        made = Script(stream, **more)
        self.addCleanup(made.listening.close)
        return made

    def run_against(self, source, directory, *options):
        run = walwire.Walwire('receive', '-d', source.conninfo(), '-D', directory, *options)
        self.addCleanup(run.__exit__)
        return run

    def placed(self):
        """A directory in which the log begins where the scripts' logs do."""
        directory = self.directory()
        path = os.path.join(directory, archive.name(START, SEGMENT) + '.partial')
        with open(path, 'wb') as file:
            file.write(bytes(SEGMENT))
        cluster.own(path)
        return directory, path

    def test_gap(self):
        """A server whose log has the same gap every time is given up, and one without is not."""

        def leave_gap(line):
            line.sendall(wal(START, log(4096)) + wal(START + 4112, b'x' * 100))
            while line.recv(1000):
                pass

        def go_on(line):
            line.sendall(wal(START, log(8192)))
            while b'c\0\0\0\4' not in line.recv(1000):  # CopyDone
                pass

        directory, path = self.placed()
        hostile = self.script(leave_gap)
        run = self.run_against(hostile, directory)
        self.assertEqual(run.wait(), 1, run.said)
        self.assertGreater(hostile.connections, 1)
        last = run.said.splitlines()[-1]
        self.assertTrue(last.startswith('walwire: 127.0.0.1:%d, at 0/100' % hostile.port), last)
        self.assertIn('WAL is missing', last)
        self.assertNotIn('trying again', last)
        self.assertEqual(archive.read(path)[:4096], log(4096))
        self.assertEqual(archive.read(path)[4096:], bytes(SEGMENT - 4096))
        run = self.run_against(self.script(go_on), directory, '-E', '0/1002000')
        self.assertEqual((run.wait(), run.said), (0, ''))
        self.assertEqual(archive.read(path)[:8192], log(8192))

    def test_cut_off(self):
        """TLS that ends without a goodbye was cut off, by whomever."""
        folder = cluster.directory('tls')
        certificates.authority(folder, 'self')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + '/self.crt', folder + '/self.key')

        def cut(line):
            line.sendall(wal(START, log(4096)))
            with socket.socket(fileno=line.detach()) as bare:
                bare.shutdown(socket.SHUT_WR)
                while bare.recv(1000):
                    pass

        def say_goodbye(line):
            line.sendall(wal(START, log(4096)))
            line.unwrap()

        for stream, said in (
            (cut, 'TLS was cut off without a goodbye'),
            (say_goodbye, ': the connection was lost'),
        ):
            directory, path = self.placed()
            run = self.run_against(self.script(stream, context=context), directory, '-n')
            self.assertEqual(run.wait(), 1)
            self.assert_lines(run, 1)
            self.assertIn(said, run.said)
            self.assertIn(', at 0/1001000: ', run.said)
            self.assertEqual(archive.read(path)[:4096], log(4096))

    def test_stopped_while_connecting(self):
        """SIGINT and SIGTERM end the wait for a server that does not answer, without a word."""
        listening = socket.socket()
        listening.bind(('127.0.0.1', 0))
        listening.listen(0)
        self.addCleanup(listening.close)
        waiting = []
        for _ in range(4):  # more than the system keeps for it
            waiting.append(socket.socket())
            self.addCleanup(waiting[-1].close)
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listening.getsockname())
        silent = 'host=127.0.0.1 port=%d connect_timeout=60' % listening.getsockname()[1]
        for number in (signal.SIGINT, signal.SIGTERM):
            for options in ((), ('-n',)):
                with walwire.Walwire(
                    'receive', '-d', silent, '-D', self.directory(), *options
                ) as run:
                    time.sleep(0.5)
                    self.assertEqual((run.stop(number), run.said), (0, ''))

    def test_stopped_in_a_handshake(self):
        """So is one that has agreed to TLS and leaves it at that."""

        def agree():
            line, _ = listening.accept()
            line.recv(8, socket.MSG_WAITALL)
            line.sendall(b'S')
            while line.recv(1000):
                pass

        listening = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(listening.close)
        threading.Thread(target=agree, daemon=True).start()
        silent = 'host=127.0.0.1 port=%d sslmode=require' % listening.getsockname()[1]
        with walwire.Walwire('receive', '-d', silent, '-D', self.directory(), '-n') as run:
            time.sleep(0.5)
            self.assertEqual((run.stop(signal.SIGINT), run.said), (0, ''))


class Entries(live.Live):
    """AionDB's streams begin with an entry, and end with one."""

    def receive(self, source, directory, *options):
        run = walwire.receive(source, directory, '--dialect', 'aiondb', '-n', *options)
        self.addCleanup(run.__exit__)
        return run

    def test_end_is_there(self):
        """An end that is on disk already ends it at once; an empty log has reached none."""
        primary = entries.Primary(cluster.directory('primary'))
        os.chmod(primary.directory, 0o755)
        primary.grow(20)
        served = relay.Serve(primary.directory, '--dialect', 'aiondb')
        self.addCleanup(served.__exit__)
        for end in (1, primary.last):
            directory = self.directory()
            run = self.receive(served.conninfo(), directory, '-E', end)
            self.assertEqual(run.wait(), 0, run.said)
            kept, _ = entries.batches(entries.read(os.path.join(directory, 'log')))
            self.assertGreaterEqual(kept[-1][1], end)
            before = archive.state(directory)
            run = self.receive(served.conninfo(), directory, '-E', end)
            self.assertEqual(run.wait(), 0, run.said)
            if end == primary.last:
                self.assertEqual(archive.state(directory), before)

    def test_figures_of_nothing(self):
        """Nothing came, and so the figures say."""
        primary = entries.Primary(cluster.directory('primary'))
        os.chmod(primary.directory, 0o755)
        served = relay.Serve(primary.directory, '--dialect', 'aiondb')
        self.addCleanup(served.__exit__)
        file = os.path.join(self.directory(), 'figures')
        run = self.receive(served.conninfo(), self.directory(), '--metrics', file)
        run.wait_for('following from')
        self.assertEqual(run.stop(), 0, run.said)
        text = entries.read(file).decode()
        for name in ('write', 'flush', 'apply'):
            self.assertIn('\naiondb_replica_wal_receiver_%s_lsn 0\n' % name, text)


if __name__ == '__main__':
    live.main(alone=True)
