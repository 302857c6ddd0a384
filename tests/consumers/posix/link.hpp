// The adapter between one machine and one connection: dials, moves bytes, and knows the secrets.
//
// `link` owns what a program has once: the parsed connection string, the certificates, the
// password. Its templates run the loop of walwire/session.hpp for whatever machine stands above:
// bytes in, events out, bytes out, wait.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/conninfo.hpp>
#include <walwire/dialect.hpp>
#include <walwire/replica/from_conninfo.hpp>

#include "failure.hpp"
#include "messages.hpp"
#include "passwords.hpp"
#include "signals.hpp"
#include "tls.hpp"
#include "transport.hpp"

namespace posix {

// 64 KiB stay in the processor's cache while they are written out; larger reads measure slower.
inline constexpr std::size_t read_size = 64 * 1024;

class link {
  public:
    // Throws failure for a connection string, certificate or password file that cannot be used.
    explicit link(const std::string& text, walwire::dialect spoken = walwire::dialect::postgres);
    link(const link&) = delete;
    link& operator=(const link&) = delete;

    const walwire::conninfo& info() const noexcept { return info_; }
    const walwire::replica::connection_options& options() const noexcept { return options_; }
    // "host:port", for messages.
    std::string peer() const;

    // Opens a connection within `timeout` microseconds. Throws failure, or interrupted on a signal.
    void dial(std::int64_t timeout, int wake);
    void hang_up() noexcept;
    bool up() const noexcept { return transport_.has_value(); }

    // The handshake that the machine asked for, and the certificate's hash for it.
    template <class Machine>
    void secure(Machine& machine, bool direct, std::int64_t timeout, int wake) {
        transport_->secure(certificates_, direct, walwire::later(now().steady, timeout), wake);
        const std::vector<std::byte> certificate = transport_->peer_certificate();
        std::array<std::byte, 64> hash{};
        // A certificate that names no hash binds nothing; the session knows what to make of that.
        const auto binding = walwire::auth::server_end_point(certificate, hash);
        expect(machine.secured(*binding));
    }

    template <class Machine>
    void give_password(Machine& machine) {
        if (!password_) throw failure("the server asks for a password and there is none");
        expect(machine.give_password(*password_));
    }

    // Writes what the machine has to say, as far as the connection takes it.
    template <class Machine>
    void write(Machine& machine) {
        for (walwire::gather out = machine.output(); up() && !out.empty(); out = machine.output()) {
            const std::size_t written = transport_->write(out);
            if (written == 0) break;
            machine.consume(written);
        }
    }

    // Waits for bytes until the machine's deadline or `until`, and returns those that came. Throws
    // failure when the connection is lost.
    template <class Machine>
    walwire::bytes read(Machine& machine, std::int64_t until, int wake) {
        const std::int64_t deadline = machine.deadline() < until ? machine.deadline() : until;
        if (!up()) {
            wait(-1, {false, false}, deadline, wake);
            return {};
        }
        const readiness ready = transport_->wait({true, !machine.output().empty()}, deadline, wake);
        if (!ready.read) return {};
        const arrival got = transport_->read(buffer_);
        // Anybody on the way can close a connection, but only the server can say so.
        if (got.truncated)
            throw failure("lost the connection to " + transport_->peer() + ": " +
                          std::string(cut_off_text));
        if (got.end) machine.finish();
        return walwire::bytes(buffer_).first(got.size);
    }

    // Wiped with the link.
    const std::vector<std::string>& notes() const noexcept { return notes_; }
    ~link();

  private:
    static void expect(walwire::errc code) {
        if (code != walwire::errc::none) throw failure(std::string(walwire::text(code)));
    }

    std::vector<char> storage_; // what info_ views
    walwire::conninfo info_;
    tls certificates_;
    walwire::auth::crypto crypto_;
    walwire::replica::connection_options options_;
    std::vector<std::string> notes_;
    std::optional<std::string> password_;
    std::optional<transport> transport_;
    std::array<std::byte, read_size> buffer_{};
};

} // namespace posix
