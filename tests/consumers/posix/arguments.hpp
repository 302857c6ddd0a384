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

#include <walwire/dialect.hpp>
#include <walwire/lsn.hpp>

namespace posix {

class usage_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct receive_arguments {
    std::string conninfo;
    std::string directory;
    std::string slot;
    bool create_slot = false;
    bool if_not_exists = false;
    std::int64_t status_seconds = 10; // 0: only when asked
    std::optional<walwire::lsn> end;
    bool synchronous = false;
    bool loop = true;
    bool verbose = false;
    std::string metrics_file;
};

struct identify_arguments {
    std::string conninfo;
};

enum class login_method : std::uint8_t { trust, password, md5, scram_sha_256 };

struct serve_arguments {
    std::string host; // empty: all of this machine
    std::string port;
    std::string directory;
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
demo_arguments parse_demo(std::span<char*> words);
identify_arguments parse_identify(std::span<char*> words);
serve_arguments parse_serve(std::span<char*> words);

} // namespace posix
