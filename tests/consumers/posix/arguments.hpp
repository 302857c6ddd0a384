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

receive_arguments parse_receive(std::span<char*> words);
identify_arguments parse_identify(std::span<char*> words);

} // namespace posix
