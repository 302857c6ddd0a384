// The primary of the demo: one connection at a time, answered out of a log that is computed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/primary/session.hpp>

#include "demo_log.hpp"

namespace posix {

class demo_primary {
  public:
    demo_primary(demo_log& log, std::uint64_t system_identifier)
        : log_(log), system_identifier_(system_identifier) {}

    // A client came; the one before it is gone, whatever it was doing.
    void accept();
    void hang_up() noexcept { session_.reset(); }
    walwire::primary::session* connection() noexcept { return session_ ? &*session_ : nullptr; }

    void heard(const walwire::primary::event& told);
    // Tells the session how far the log is, and lends it what it wants of it.
    void feed();

  private:
    static constexpr std::size_t lent_at_once = 1024 * 1024;

    template <class Event>
    void answer(const Event&) {}
    void answer(const walwire::primary::login_requested&);
    void answer(const walwire::primary::identify_system&);
    void answer(const walwire::primary::show& asked);
    void answer(const walwire::primary::timeline_history& asked);
    void answer(const walwire::primary::start_replication& asked);

    demo_log& log_;
    std::uint64_t system_identifier_;
    std::array<std::byte, walwire::stash_size> stash_;
    std::array<std::byte, walwire::out_size> out_;
    std::array<std::byte, 4> cancel_key_{}; // there is nobody who could cancel
    std::vector<std::byte> lent_ = std::vector<std::byte>(lent_at_once);
    std::string history_;
    walwire::timeline_id streamed_;
    std::optional<walwire::primary::session> session_;
};

} // namespace posix
