// The command line, read into one struct for each verb.
//
// The options are pg_receivewal's where it has them, short and long, so that its users need not
// learn new ones. What cannot be understood throws usage_error, whose text names the option.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <walwire/dialect.hpp>
#include <walwire/lsn.hpp>
#include <walwire/wire/command.hpp>

namespace posix {

class usage_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct receive_arguments {
    std::string conninfo;
    walwire::dialect dialect = walwire::dialect::postgres;
    std::string directory;
    std::string slot;
    bool create_slot = false;
    bool if_not_exists = false;
    std::int64_t status_seconds = 10; // 0: only when asked
    std::optional<walwire::lsn> end;  // AionDB: an entry
    bool synchronous = false;
    bool loop = true;
    bool verbose = false;
    std::string metrics_file;
};

enum class backup_format : std::uint8_t { plain, tar };
// The log that the backup needs: left to others, in the backup itself, or over a second connection.
enum class backup_log : std::uint8_t { none, fetch, stream };

struct backup_arguments {
    std::string conninfo;
    walwire::dialect dialect = walwire::dialect::postgres;
    std::string directory;
    backup_format format = backup_format::plain;
    backup_log log = backup_log::stream;
    walwire::wire::backup_checkpoint checkpoint = walwire::wire::backup_checkpoint::spread;
    std::string label = "walwire backup";
    std::vector<std::pair<std::string, std::string>> tablespaces; // on the server, here
    bool manifest = true;
    std::optional<walwire::wire::manifest_checksums> checksums;
    std::string incremental; // the manifest of the backup before; empty: a full backup
    std::optional<walwire::wire::backup_compression> compression;
    std::string compression_detail;
    std::uint32_t max_rate = 0; // in kB/s; 0: as fast as it goes
    bool verify_checksums = true;
    bool slot = true;
    bool clean = true;
    bool progress = false;
    bool verbose = false;
};

struct combine_arguments {
    std::vector<std::string> backups; // the oldest first
    std::string directory;
    std::vector<std::pair<std::string, std::string>> tablespaces; // in the newest backup, here
    bool verbose = false;
};

struct identify_arguments {
    std::string conninfo;
    walwire::dialect dialect = walwire::dialect::postgres;
};

enum class login_method : std::uint8_t { trust, password, md5, scram_sha_256 };

struct serve_arguments {
    walwire::dialect dialect = walwire::dialect::postgres;
    std::string host; // empty: all of this machine
    std::string port;
    std::string directory;
    std::string backup;         // a base backup to serve besides; empty: none
    std::string server_version; // empty: that of the WAL
    std::string certificate_file;
    std::string key_file;
    login_method login = login_method::trust;
    std::string user; // empty: anybody, without a password
    std::string password_file;
    std::string slots_file;
    bool verbose = false;
};

struct demo_arguments {
    std::uint64_t size = 256 * 1024 * 1024; // of the log, in bytes
    std::uint64_t seed = 0;
};

receive_arguments parse_receive(std::span<char*> words);
backup_arguments parse_backup(std::span<char*> words);
combine_arguments parse_combine(std::span<char*> words);
demo_arguments parse_demo(std::span<char*> words);
identify_arguments parse_identify(std::span<char*> words);
serve_arguments parse_serve(std::span<char*> words);

} // namespace posix
