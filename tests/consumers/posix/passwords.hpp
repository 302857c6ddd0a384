// Where a password comes from: the connection string, PGPASSWORD, a password file, in this order.
//
// The file is the connection string's passfile, or PGPASSFILE, or ~/.pgpass. Its lines are libpq's,
// and the first that matches counts:
//
//     # host : port : database : user : password
//     db.example.com:5432:replication:standby:s3cret
//     *:*:*:standby:with a \: colon and a \\ backslash
//
// `*` alone matches anything, `localhost` also the usual directories of Unix sockets, and physical
// replication counts as the database "replication" unless the connection string names one. A file
// that others may read is not used, and one that does not exist is not missed.
//
// Source of truth: the manual's "The Password File".
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/conninfo.hpp>

#include "descriptor.hpp"
#include "failure.hpp"
#include "home.hpp"

namespace posix {

namespace detail {

// One field of a line without its escapes; `line` goes on behind its colon.
struct password_field {
    std::string text;
    bool any = false; // a bare '*'
};
inline password_field take_password_field(std::string_view& line) {
    password_field field;
    std::size_t at = 0;
    for (; at < line.size() && line[at] != ':'; ++at) {
        if (line[at] == '\\' && at + 1 < line.size()) ++at;
        field.text += line[at];
    }
    field.any = line.substr(0, at) == "*";
    line.remove_prefix(at < line.size() ? at + 1 : at);
    return field;
}

inline bool is_usual_socket_directory(std::string_view host) {
    return host == "/tmp" || host == "/var/run/postgresql" || host == "/run/postgresql";
}

} // namespace detail

// The password of the first line that matches, or none. An empty one is none.
inline std::optional<std::string> match_password(std::string_view file,
                                                 const walwire::conninfo& info) {
    const std::array<std::string, 4> wanted{
        detail::is_usual_socket_directory(info.host) ? "localhost" : std::string(info.host),
        std::to_string(info.port),
        info.dbname.empty() ? "replication" : std::string(info.dbname),
        std::string(info.user),
    };
    while (!file.empty()) {
        std::string_view line = file.substr(0, file.find('\n'));
        file.remove_prefix(line.size() < file.size() ? line.size() + 1 : line.size());
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.starts_with('#')) continue;

        bool matches = true;
        for (const std::string& value : wanted) {
            const bool more = line.find(':') != std::string_view::npos;
            const detail::password_field field = detail::take_password_field(line);
            matches = matches && more && (field.any || field.text == value);
        }
        if (!matches) continue;
        const std::string password = detail::take_password_field(line).text;
        if (password.empty()) return std::nullopt;
        return password;
    }
    return std::nullopt;
}

// The content of a password file, or nothing with a reason in `notes` if it may not be used.
inline std::string read_password_file(const std::string& path, std::vector<std::string>& notes) {
    const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat found {};
    if (!file || ::fstat(file.number(), &found) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            notes.push_back("could not open password file " + quoted(path) + ": " + reason(errno));
        return {};
    }
    if (!S_ISREG(found.st_mode)) {
        notes.push_back("password file " + quoted(path) + " is not a regular file: not used");
        return {};
    }
    if ((found.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        notes.push_back("others may read password file " + quoted(path) +
                        ", its permissions should be 0600 or less: not used");
        return {};
    }
    std::string content;
    std::array<char, 4096> part{};
    for (;;) {
        const ssize_t size = ::read(file.number(), part.data(), part.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0)
            notes.push_back("could not read password file " + quoted(path) + ": " + reason(errno));
        if (size <= 0) break;
        content.append(part.data(), static_cast<std::size_t>(size));
    }
    walwire::wipe(std::as_writable_bytes(std::span(part)));
    return content;
}

// The password to answer the server with, if there is one. `notes` are for warnings.
inline std::optional<std::string> find_password(const walwire::conninfo& info,
                                                std::vector<std::string>& notes) {
    if (!info.password.empty()) return std::string(info.password);
    if (std::string password = environment("PGPASSWORD"); !password.empty()) return password;

    std::string path(info.passfile);
    if (path.empty()) path = environment("PGPASSFILE");
    if (path.empty()) path = home_file(".pgpass");
    if (path.empty()) return std::nullopt;
    std::string content = read_password_file(path, notes);
    std::optional<std::string> password = match_password(content, info);
    walwire::wipe(std::as_writable_bytes(std::span(content)));
    return password;
}

} // namespace posix
