// walwire: the library's own program, over poll(2) and plain files.
//
// It exits with 0 when it did what it was asked, and with 1 and one line on standard error when
// not.
#include <cstdio>
#include <exception>
#include <span>
#include <string_view>

#include <walwire/version.hpp>

#include "arguments.hpp"
#include "backup.hpp"
#include "combine.hpp"
#include "demo.hpp"
#include "failure.hpp"
#include "identify.hpp"
#include "messages.hpp"
#include "receive.hpp"
#include "serve.hpp"

namespace {

constexpr const char* usage =
    R"(walwire speaks PostgreSQL's replication protocol, and AionDB's dialect of it.

  walwire demo [--size MIB] [--seed N]             both ends in one process, without a server
  walwire receive -d CONNINFO -D DIR [option...]   follow a server and keep its WAL in DIR
      -S, --slot NAME            use this replication slot
          --create-slot          create it first; without -D, do only that
          --if-not-exists        and do not mind if it is there
      -s, --status-interval SEC  report at least this often (10; 0: only when asked)
      -E, --endpos LSN           stop when WAL up to LSN is there (AionDB: the entry)
          --synchronous          sync and report each piece at once
      -n, --no-loop              give up at the first failure
          --metrics FILE         keep figures for Prometheus in FILE
      -v, --verbose              say more
  walwire backup -d CONNINFO -D DIR [option...]    copy a server into DIR, and verify the copy
      -F, --format FORMAT        plain: files as the server has them; tar: archives
      -X, --wal-method METHOD    the WAL that it needs: none, fetch or stream (stream)
          --no-slot              stream it without a temporary slot
      -c, --checkpoint MODE      fast or spread (spread)
      -l, --label LABEL          what the server calls it
      -T, --tablespace-mapping OLD=NEW   put the tablespace in OLD into NEW; plain format
                                 needs one for each that stands outside of the server's own
          --manifest-checksums ALG       NONE, CRC32C, SHA224, SHA256, SHA384 or SHA512
          --no-manifest          ask for none, and verify nothing
      -i, --incremental MANIFEST what changed since the backup with this manifest
      -Z, --compress METHOD[:LEVEL]      gzip, lz4 or zstd, on the server's side
      -r, --max-rate RATE        at most so many kB/s; k or M may stand behind it
          --no-verify-checksums  take pages whose checksums are wrong
      -n, --no-clean             leave what there is of a backup that failed
      -P, --progress             show how far it is
      -v, --verbose              say more
  walwire combine -o DIR FULL INCREMENTAL...       a server's directory again, of a chain of backups
      -T, --tablespace-mapping OLD=NEW   put the tablespace in OLD into NEW
      -v, --verbose              say more
  walwire serve --listen HOST:PORT --wal DIR [option...]   serve the WAL in DIR, also as it grows
          --server-version N     the server that is played (that of the WAL)
          --tls-cert FILE        offer encryption with this certificate
          --tls-key FILE         and this private key
          --auth METHOD          trust, password, md5 or scram-sha-256
          --user NAME            who may come in
          --password-file FILE   and the password: the first line of FILE
          --backup DIR           serve the base backup in DIR as well
          --slots FILE           keep replication slots in FILE
      -v, --verbose              say more
  walwire identify -d CONNINFO                     who is there: system, timeline, position

  receive, backup, serve and identify speak AionDB's dialect with --dialect aiondb. DIR holds
  batches of entries then, backup has no options of its own, and serve's --backup DIR is the
  directory whose files are the backup (that of --wal).

  CONNINFO is libpq's: "host=db port=5432 user=replicator sslmode=verify-full", or a URI of it.
  Passwords come from it, from PGPASSWORD or from a password file, and the root certificate from
  its sslrootcert or from ~/.postgresql/root.crt (AionDB: from sslrootcert).
)";

int run(std::span<char*> words) {
    const std::string_view verb = words.empty() ? std::string_view{} : words.front();
    if (verb == "--help" || verb == "-?" || verb == "help") {
        std::fputs(usage, stdout);
        return 0;
    }
    if (verb == "--version" || verb == "-V") {
        std::printf("walwire %s\n", walwire::version_text.data());
        return 0;
    }
    if (verb == "demo") {
        posix::demo(posix::parse_demo(words.subspan(1)));
    } else if (verb == "receive") {
        posix::receive(posix::parse_receive(words.subspan(1)));
    } else if (verb == "backup") {
        posix::backup(posix::parse_backup(words.subspan(1)));
    } else if (verb == "combine") {
        posix::combine(posix::parse_combine(words.subspan(1)));
    } else if (verb == "serve") {
        posix::serve(posix::parse_serve(words.subspan(1)));
    } else if (verb == "identify") {
        posix::identify(posix::parse_identify(words.subspan(1)));
    } else {
        std::fputs(usage, stderr);
        return 1;
    }
    return 0;
}

} // namespace

int main(int count, char** words) {
    try {
        return run(std::span(words, static_cast<std::size_t>(count)).subspan(1));
    } catch (const posix::usage_error& error) {
        posix::say(std::string(error.what()) + " (try walwire --help)");
    } catch (const std::exception& error) {
        posix::say(error.what());
    }
    return 1;
}
