#!/usr/bin/env python3
"""Every way into a real server that walwire knows, and every door that it must not go through.

A role stands for each method of pg_hba.conf. What the server logs says whether a connection was
encrypted; what may not work ends with exit status 1 and one line, in which no password stands.
"""
import os

from support import certificates, cluster, live, walwire

# Roles, their passwords, and how the server wants them: all methods of 12 to 18 that need no other
# server.
SECRET = 'se:cret\\ \'word"'
NORMAL = 'IX walwire'  # what SASLprep makes of UNUSUAL
UNUSUAL = '\u2168\u00a0wal\u00adwire'
HBA = '''
local   all,replication  postgres     trust
local   replication      cleartext    password
host    all,replication  postgres     127.0.0.1/32  trust
host    replication      trusted      127.0.0.1/32  trust
host    replication      cleartext    127.0.0.1/32  password
host    replication      hashed       127.0.0.1/32  md5
host    replication      scram        127.0.0.1/32  scram-sha-256
host    replication      unusual      127.0.0.1/32  scram-sha-256
hostssl replication      only_tls     127.0.0.1/32  scram-sha-256
hostnossl replication    only_plain   127.0.0.1/32  scram-sha-256
hostssl replication      certified    127.0.0.1/32  cert
hostssl all              stranger     127.0.0.1/32  scram-sha-256
'''


def literal(text):
    return "'" + text.replace("'", "''") + "'"


class Authentication(live.Live):
    folder = None

    @classmethod
    def setUpClass(cls):
        if Authentication.folder is None:
            Authentication.folder = certificates.make('certified')
        folder = Authentication.folder
        source = cls.source = cls.make_cluster(
            {
                'ssl': 'on',
                'ssl_cert_file': folder + '/server.crt',
                'ssl_key_file': folder + '/server.key',
                'ssl_ca_file': folder + '/root.crt',
                'log_connections': 'on',
            }
        )
        cls.sockets = source.settings['unix_socket_directories'] = os.path.dirname(source.data)
        source.start()
        commands = []
        for role, password, encryption in (
            ('trusted', None, 'md5'),
            ('cleartext', SECRET, 'scram-sha-256'),
            ('hashed', SECRET, 'md5'),
            ('scram', SECRET, 'scram-sha-256'),
            ('unusual', NORMAL, 'scram-sha-256'),
            ('only_tls', SECRET, 'scram-sha-256'),
            ('only_plain', SECRET, 'scram-sha-256'),
            ('certified', None, 'md5'),
            ('stranger', SECRET, 'scram-sha-256'),
        ):
            commands.append("SET password_encryption = '%s'" % encryption)
            commands.append(
                'CREATE ROLE %s LOGIN REPLICATION PASSWORD %s'
                % (role, literal(password) if password else 'NULL')
            )
        source.sql("SET client_min_messages = 'error'", *commands)
        source.write_file('pg_hba.conf', HBA)
        source.reload()
        cluster.wait_until(
            lambda: cls.attempt('only_tls', SECRET).process.returncode == 0, 'the new pg_hba.conf'
        )

    @classmethod
    def attempt(cls, user, password=None, verb='receive', **more):
        """Logs in as `receive` does, reads the first piece of WAL, and stops."""
        words = ['-n', '-E', '0/1', '-D', cluster.directory('wal')] if verb == 'receive' else []
        environment = {'PGPASSWORD': password} if password else {}
        return walwire.run(
            verb, '-d', cls.source.conninfo(user=user, **more), *words, environment=environment
        )

    def enters(self, user, password=None, tls=None, **more):
        before = len(self.source.logged())
        run = self.attempt(user, password, **more)
        self.assertEqual((run.process.returncode, run.said), (0, ''))
        if tls is not None:
            line = [
                line
                for line in self.source.logged()[before:].split('\n')
                if 'connection authorized: user=' + user in line
            ][-1]
            self.assertEqual('SSL enabled' in line or 'SSL: ' in line, tls, line)

    def refused(self, why, user, password=None, **more):
        run = self.attempt(user, password, **more)
        self.assertEqual(run.process.returncode, 1, run.said)
        self.assert_lines(run, 1)
        self.assertIn(why, run.said)
        for secret in (SECRET, NORMAL, 'cret', 'wrong'):
            self.assertNotIn(secret, run.said)

    def test_trust(self):
        """Nothing is asked."""
        self.enters('trusted')
        self.enters('trusted', require_auth='none')
        self.enters('trusted', verb='identify')

    def test_cleartext(self):
        """A password crosses an open network only where require_auth says so by name."""
        self.refused('cleartext', 'cleartext', SECRET, sslmode='disable')
        self.refused('cleartext', 'cleartext', SECRET, sslmode='disable', require_auth='!md5')
        self.enters('cleartext', SECRET, tls=False, sslmode='disable', require_auth='password')
        self.enters('cleartext', SECRET, tls=True, sslmode='require')
        self.enters('cleartext', SECRET, host=self.sockets)

    def test_md5(self):
        """Also in the clear, and not with require_auth without it."""
        self.enters('hashed', SECRET, tls=False, sslmode='disable')
        self.enters('hashed', SECRET, tls=True)
        self.refused('authentication', 'hashed', SECRET, require_auth='scram-sha-256')
        self.refused('channel binding', 'hashed', SECRET, channel_binding='require')

    def test_scram(self):
        """Without TLS, with it, with a password that SASLprep changes, from the string and from a
        file."""
        self.enters('scram', SECRET, tls=False, sslmode='disable')
        self.enters('scram', SECRET, tls=True, sslmode='require')
        self.enters('scram', SECRET, require_auth='scram-sha-256')
        self.enters('scram', SECRET, verb='identify')
        self.enters('unusual', UNUSUAL)
        self.enters('unusual', NORMAL)
        run = walwire.run('identify', '-d', self.source.conninfo(user='scram', password=SECRET))
        self.assertEqual((run.process.returncode, run.said), (0, ''))
        passfile = os.path.join(cluster.directory('pass'), 'pgpass')
        with open(passfile, 'w') as file:
            file.write(
                '*:*:replication:scram:' + SECRET.replace('\\', '\\\\').replace(':', '\\:') + '\n'
            )
        cluster.own(passfile)
        os.chmod(passfile, 0o600)
        self.enters('scram', passfile=passfile)

    def test_uri(self):
        """A connection URI says the same."""
        escaped = ''.join('%%%02X' % byte for byte in SECRET.encode())
        run = walwire.run(
            'identify',
            '-d',
            'postgresql://scram:%s@127.0.0.1:%d/?sslmode=require' % (escaped, self.source.port),
        )
        self.assertEqual((run.process.returncode, run.said), (0, ''))

    def test_channel_binding(self):
        """SCRAM-SHA-256-PLUS over TLS, and no way around it where it is required."""
        self.enters('scram', SECRET, tls=True, sslmode='require', channel_binding='require')
        self.enters('scram', SECRET, tls=True, sslmode='require', channel_binding='disable')
        self.refused('channel binding', 'trusted', channel_binding='require')
        self.refused('channel binding', 'cleartext', SECRET, channel_binding='require')
        self.refused(
            'channel_binding', 'scram', SECRET, channel_binding='require', sslmode='disable'
        )

    def test_verified_server(self):
        """The server's certificate is checked as far as sslmode says."""
        root, other = self.folder + '/root.crt', self.folder + '/other.crt'
        named = {'host': certificates.NAME, 'hostaddr': '127.0.0.1'}
        self.enters('scram', SECRET, tls=True, sslmode='verify-full', sslrootcert=root, **named)
        self.enters('scram', SECRET, tls=True, sslmode='verify-ca', sslrootcert=root)
        self.refused('not for host', 'scram', SECRET, sslmode='verify-full', sslrootcert=root)
        self.refused(
            'not for host',
            'scram',
            SECRET,
            sslmode='verify-full',
            sslrootcert=root,
            host='other.walwire.test',
            hostaddr='127.0.0.1',
        )
        for mode in ('require', 'verify-ca', 'verify-full'):
            self.refused('not trusted', 'scram', SECRET, sslmode=mode, sslrootcert=other, **named)
        self.refused(
            'root certificate',
            'scram',
            SECRET,
            sslmode='verify-ca',
            sslrootcert=self.folder + '/missing.crt',
        )

    def test_client_certificate(self):
        """The server takes our certificate for a password; without it, or with a wrong key,
        nothing."""
        ours = {'sslcert': self.folder + '/client.crt', 'sslkey': self.folder + '/client.key'}
        self.enters('certified', tls=True, sslmode='require', **ours)
        self.refused('certificate', 'certified', sslmode='require')
        self.refused('28000', 'certified', sslmode='disable', **ours)
        self.refused(
            'key',
            'certified',
            sslmode='require',
            sslcert=ours['sslcert'],
            sslkey=self.folder + '/server.key',
        )

    def test_modes(self):
        """Each sslmode against roles that may come only with, and only without, encryption."""
        for mode, encrypted, plain in (
            ('disable', None, False),
            ('allow', True, False),
            ('prefer', True, False),
            ('require', True, None),
        ):
            for user, tls in (('only_tls', encrypted), ('only_plain', plain)):
                with self.subTest(mode=mode, user=user):
                    if tls is None:
                        self.refused('28000', user, SECRET, sslmode=mode)
                    else:
                        self.enters(user, SECRET, tls=tls, sslmode=mode)
                        self.enters(user, SECRET, tls=tls, sslmode=mode, verb='identify')
        self.enters('scram', SECRET, tls=False, sslmode='allow')
        self.enters('scram', SECRET, tls=True, sslmode='prefer')
        self.enters('scram', SECRET, tls=True)

    def test_direct(self):
        """TLS without asking first, which servers have from 17 on."""
        if self.server.major >= 17:
            self.enters(
                'scram',
                SECRET,
                tls=True,
                sslmode='require',
                sslnegotiation='direct',
                channel_binding='require',
            )
            self.enters(
                'scram',
                SECRET,
                tls=True,
                sslmode='verify-full',
                sslnegotiation='direct',
                sslrootcert=self.folder + '/root.crt',
                host=certificates.NAME,
                hostaddr='127.0.0.1',
            )
        else:
            self.refused('', 'scram', SECRET, sslmode='require', sslnegotiation='direct')
        self.refused('sslnegotiation', 'scram', SECRET, sslnegotiation='direct')

    def test_required_methods(self):
        """require_auth is kept, whatever the server asks for, and also when it asks for nothing."""
        for user, password in (('trusted', None), ('hashed', SECRET), ('cleartext', SECRET)):
            self.refused('authentication', user, password, require_auth='scram-sha-256')
        self.refused('authentication', 'scram', SECRET, require_auth='!scram-sha-256')
        self.refused('authentication', 'scram', SECRET, require_auth='md5,password')
        self.refused('authentication', 'trusted', require_auth='!none')
        self.enters('scram', SECRET, require_auth='md5,scram-sha-256')
        self.refused('require_auth', 'scram', SECRET, require_auth='nonsense')

    def test_wrong(self):
        """Wrong, missing and unwanted: one line, exit status 1, at once, and nothing is tried
        again."""
        for user in ('cleartext', 'hashed', 'scram', 'only_tls'):
            self.refused('28P01', user, 'wrong', sslmode='require')
        self.refused('28P01', 'scram', 'wrong', verb='identify')
        self.refused('password', 'scram')
        self.refused('password', 'scram', verb='identify')
        self.refused('28000', 'stranger', SECRET)
        self.refused('28', 'nobody_at_all', SECRET)
        for user, password in (('scram', 'wrong'), ('scram', None), ('stranger', SECRET)):
            with walwire.Walwire(
                'receive',
                '-d',
                self.source.conninfo(user=user),
                '-D',
                cluster.directory('wal'),
                environment={'PGPASSWORD': password} if password else {},
            ) as run:
                self.assertEqual(run.wait(), 1)
                self.assert_lines(run, 1)

    def test_protocol_versions(self):
        """The latest protocol is offered to all and spoken with 18; older servers bring us down to
        3.0."""
        for version in ('3.0', '3.2', 'latest'):
            self.enters('scram', SECRET, max_protocol_version=version)
            self.enters('scram', SECRET, max_protocol_version=version, verb='identify')
        if self.server.major >= 18:
            self.enters('scram', SECRET, min_protocol_version='3.2')
        else:
            self.refused('protocol version', 'scram', SECRET, min_protocol_version='3.2')

    def test_no_tls(self):
        """A server without TLS: preferring it is no more than that, requiring it is."""
        bare = self.new_cluster({'ssl': 'off'}).start()
        for mode, status in (
            ('disable', 0),
            ('allow', 0),
            ('prefer', 0),
            ('require', 1),
            ('verify-ca', 1),
        ):
            run = walwire.run(
                'identify',
                '-d',
                bare.conninfo(sslmode=mode, sslrootcert=self.folder + '/root.crt'),
            )
            self.assertEqual(run.process.returncode, status, run.said)
            self.assert_lines(run, status)


if __name__ == '__main__':
    live.main()
