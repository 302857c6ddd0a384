#!/usr/bin/env python3
"""The doors of `walwire serve`: every method of authentication, with TLS and without.

libpq, in psql and pg_receivewal, and walwire itself come in where they should, and only there. What
is served is the pg_wal of a server that was stopped.
"""
import base64
import hashlib
import hmac
import os
import shutil

from support import archive, certificates, cluster, installed, live, raw, relay, walwire

USER = 'replica'
SECRET = 'se:cret\\ \'word"'
WRONG = 'wr0ng'


class ServeLogin(live.Live):
    @classmethod
    def setUpClass(cls):
        source = cls.make_cluster().start()
        source.grow(2)
        # Servers keep old segments under the names of those to come: these are not to be served.
        cls.last = archive.name(source.flushed() - source.segment_size, source.segment_size)
        cls.current = archive.name(source.flushed(), source.segment_size)
        source.stop()
        cls.wal = cluster.directory('wal')
        for name in archive.whole(source.wal('')):
            cluster.own(shutil.copy(source.wal(name), cls.wal))
        cls.folder = certificates.make(USER)

    def password_file(self, text, mode=0o600):
        path = os.path.join(cluster.directory('secret'), 'password')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(path, mode)
        return cluster.own(path)

    def demand(self, method, text=SECRET + '\n', tls=False):
        """A server that demands the password, by this method."""
        words = ['--auth', method, '--user', USER, '--password-file', self.password_file(text)]
        if tls:
            words += self.tls_words()
        serve = relay.Serve(self.wal, *words)
        self.addCleanup(serve.__exit__)
        return serve

    def tls_words(self):
        return [
            '--tls-cert',
            self.folder + '/server.crt',
            '--tls-key',
            self.folder + '/server.key',
        ]

    def identify(self, serve, password, **more):
        """What walwire and then each psql say; each is answered with a row, or refused."""
        environment = {'PGPASSWORD': password} if password else {}
        ours = walwire.run('identify', '-d', serve.conninfo(**more), environment=environment)
        theirs = []
        # The options by the versions of libpq that brought them.
        since = {'require_auth': 16, 'sslnegotiation': 17}
        least = max([0, *(since.get(name, 0) for name in more)])
        for tool in installed.with_program('psql', least):
            words = [tool.program('psql'), '-XAtw', '-c', 'IDENTIFY_SYSTEM', '-d']
            theirs.append(
                cluster.run_process(
                    [*words, serve.conninfo(replication='true', **more)], environment, check=False
                )
            )
        self.assertTrue(theirs)
        return ours, theirs

    def enters(self, serve, password=SECRET, **more):
        ours, theirs = self.identify(serve, password, **more)
        self.assertEqual((ours.process.returncode, ours.said), (0, ''), serve.said)
        self.assertEqual([said.count('|') for said in theirs], [3] * len(theirs), theirs)

    def refused(self, serve, why, password=SECRET, **more):
        ours, theirs = self.identify(serve, password, **more)
        self.assertEqual(ours.process.returncode, 1, ours.said)
        self.assert_lines(ours, 1)
        for said in (ours.said, *theirs):
            self.assertIn(why, said)
            self.assertNotIn(SECRET, said)
            self.assertNotIn('|', said)

    def test_trust(self):
        """Anybody comes in, or one by name."""
        with relay.Serve(self.wal) as serve:
            self.enters(serve, None)
            self.enters(serve, None, user='anybody at all')
        with relay.Serve(self.wal, '--user', USER) as serve:
            self.enters(serve, None)
            self.refused(serve, 'user "other" is not let in', None, user='other')

    def test_methods(self):
        """Each lets the right password in; a wrong one and a wrong name are told the same."""
        clear = {'require_auth': 'password'}
        for method, more in (('password', clear), ('md5', {}), ('scram-sha-256', {})):
            with self.subTest(method=method), self.demand(method) as serve:
                self.enters(serve, **more)
                why = 'password authentication failed for user "%s"'
                self.refused(serve, why % USER, WRONG, **more)
                self.refused(serve, why % 'other', SECRET, user='other', **more)
                self.refused(serve, '', None, **more)
                self.enters(serve, **more)

    def test_stored_secrets(self):
        """What a server would store serves as well; with a verifier MD5 turns into SCRAM."""
        source = self.new_cluster().start()
        stored = {}
        for encryption in ('md5', 'scram-sha-256'):
            source.sql(
                "SET client_min_messages = 'error'",
                "SET password_encryption = '%s'" % encryption,
                "CREATE ROLE %s PASSWORD '%s'" % (USER, SECRET.replace("'", "''")),
            )
            stored[encryption] = source.sql(
                "SELECT rolpassword FROM pg_authid WHERE rolname = '%s'" % USER,
                'DROP ROLE ' + USER,
            )
        with self.demand('md5', stored['md5']) as serve:
            self.enters(serve, require_auth='md5')
            self.refused(serve, 'password authentication failed', WRONG)
        for method in ('md5', 'scram-sha-256'):
            with self.demand(method, stored['scram-sha-256'] + '\r\n') as serve:
                self.enters(serve, require_auth='scram-sha-256')
                self.refused(serve, 'password authentication failed', WRONG)

    def asked(self, serve, user):
        """What a user is asked for, and for how many iterations where that is SCRAM."""
        with raw.Raw(serve.port, user=user) as client:
            _, body = client.read()
            code = int.from_bytes(body[:4], 'big')
            if code != 10:
                return code
            first = b'n,,n=,r=abc'
            client.send(b'p', b'SCRAM-SHA-256\0' + len(first).to_bytes(4, 'big') + first)
            _, body = client.read()
            return int(body.rsplit(b',i=', 1)[1])

    def test_unknown_users(self):
        """Nobody can tell by what is asked who is known: neither the method nor the iterations."""
        salted = hashlib.pbkdf2_hmac('sha256', SECRET.encode(), b'salt' * 4, 5000)
        client = hmac.digest(salted, b'Client Key', 'sha256')
        keys = (hashlib.sha256(client).digest(), hmac.digest(salted, b'Server Key', 'sha256'))
        salt, stored, server = (base64.b64encode(each).decode() for each in (b'salt' * 4, *keys))
        verifier = 'SCRAM-SHA-256$5000:%s$%s:%s' % (salt, stored, server)
        hashed = 'md5' + hashlib.md5((SECRET + USER).encode()).hexdigest()
        for method, text, expected in (
            ('md5', SECRET, 5),
            ('md5', hashed, 5),
            ('md5', verifier, 5000),
            ('scram-sha-256', verifier, 5000),
            ('scram-sha-256', SECRET, 4096),
            ('password', verifier, 3),
        ):
            with self.subTest(method=method, text=text), self.demand(method, text) as serve:
                for user in (USER, 'other'):
                    self.assertEqual(self.asked(serve, user), expected)
                more = {'require_auth': 'password'} if method == 'password' else {}
                self.enters(serve, **more)
                self.refused(serve, 'password authentication failed', user='other', **more)

    def test_tls(self):
        """Encryption is there for whoever asks, verified by name, and bound to the password."""
        serve = self.demand('scram-sha-256', tls=True)
        verified = {
            'sslmode': 'verify-full',
            'sslrootcert': self.folder + '/root.crt',
            'host': certificates.NAME,
            'hostaddr': '127.0.0.1',
        }
        self.enters(serve, sslmode='disable')
        self.enters(serve, sslmode='prefer', channel_binding='require')
        self.enters(serve, sslmode='require', channel_binding='disable')
        self.enters(serve, channel_binding='require', **verified)
        self.refused(serve, 'password authentication failed', WRONG, channel_binding='require')
        other = {**verified, 'sslrootcert': self.folder + '/other.crt'}
        self.refused(serve, 'certificate', **other)
        self.assertIn('encrypted', serve.said)
        plain = self.demand('scram-sha-256')
        self.refused(plain, '', sslmode='require')
        self.enters(plain, sslmode='prefer')

    def test_direct_tls(self):
        """The handshake may open the connection; libpq can do so from 17 on."""
        serve = self.demand('scram-sha-256', tls=True)
        direct = {'sslmode': 'require', 'sslnegotiation': 'direct', 'channel_binding': 'require'}
        if installed.everything()[-1].major >= 17:
            self.enters(serve, **direct)
            self.refused(serve, 'password authentication failed', WRONG, **direct)
        ours = walwire.run(
            'identify', '-d', serve.conninfo(**direct), environment={'PGPASSWORD': SECRET}
        )
        self.assertEqual((ours.process.returncode, ours.said), (0, ''))

    def test_stream(self):
        """WAL comes through TLS as it is, to pg_receivewal and to walwire."""
        serve = self.demand('scram-sha-256', tls=True)
        more = {'sslmode': 'require', 'channel_binding': 'require', 'password': SECRET}
        conninfo = ' '.join(
            "%s='%s'" % (key, str(value).replace('\\', '\\\\').replace("'", "\\'"))
            for key, value in {
                'host': '127.0.0.1',
                'port': serve.port,
                'user': USER,
                **more,
            }.items()
        )
        ask = walwire.run('identify', '-d', conninfo)
        self.assertEqual(ask.process.returncode, 0, ask.said)
        names = archive.whole(self.wal)
        tools = installed.with_program('pg_receivewal', self.server.major)
        for tool in [None, *tools]:
            directory = self.directory()
            # It goes on behind the first segment that it has.
            cluster.own(shutil.copy(os.path.join(self.wal, names[0]), directory))
            if tool is None:
                run = walwire.receive(conninfo, directory)
            else:
                run = relay.Receivewal(tool, conninfo, directory)
            with run:
                walwire.wait_for_file(os.path.join(directory, self.last), serve)
                self.assertEqual(run.stop(), 0, run.said)
            self.assertEqual(archive.partial(directory), [self.current + '.partial'])
            for name in archive.whole(directory):
                self.assertEqual(
                    archive.read(os.path.join(directory, name)),
                    archive.read(os.path.join(self.wal, name)),
                    name,
                )

    def test_refused_files(self):
        """Keys and passwords that others may read, or that do not fit, are not used."""
        key = os.path.join(cluster.directory('key'), 'server.key')
        shutil.copy(self.folder + '/server.key', key)
        cluster.own(key)
        os.chmod(key, 0o644)
        crt = self.folder + '/server.crt'
        login = ['--user', USER, '--password-file']
        for words, why in (
            (['--tls-cert', crt, '--tls-key', key], 'others may read the private key'),
            (['--tls-cert', crt, '--tls-key', self.folder + '/root.key'], 'could not use'),
            (['--tls-cert', key, '--tls-key', key], 'could not read the certificate'),
            (
                ['--auth', 'md5', *login, self.password_file(SECRET, 0o644)],
                'others may read password file',
            ),
            (['--auth', 'md5', *login, self.password_file('\n')], 'no password in'),
            (
                ['--auth', 'scram-sha-256', *login, self.password_file('md5' + 'a' * 32)],
                'no password for this method',
            ),
        ):
            run = walwire.run('serve', '--listen', '127.0.0.1:0', '--wal', self.wal, *words)
            self.assertEqual(run.process.returncode, 1, words)
            self.assert_lines(run, 1)
            self.assertIn(why, run.said)


if __name__ == '__main__':
    live.main(few=True)
