// Replication slots, and the file that keeps them over a restart.
//
// A slot that is created or dropped is on disk before the client hears of it. One that moves is
// saved within a second: what is lost by a crash then is only that more WAL is kept than needed.
// Without a file slots last as long as the program.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <walwire/primary/slot.hpp>

namespace posix {

class slot_store {
  public:
    static constexpr std::size_t slots_max = 32;

    // Reads the file, if there is one. Throws failure when it cannot be read.
    explicit slot_store(const std::string& file);
    slot_store(const slot_store&) = delete;
    slot_store& operator=(const slot_store&) = delete;

    walwire::primary::slot_table& table() noexcept { return table_; }

    // Writes the file. Throws failure, and the old file is still there.
    void save();

    // A slot moved.
    void moved(std::int64_t now) noexcept;
    // When save_moves has something to do, or never.
    std::int64_t deadline() const noexcept { return save_at_; }
    // Saves what moved, once the time has come; what goes wrong is said and tried again.
    void save_moves(std::int64_t now);

  private:
    std::string file_;
    std::array<walwire::primary::slot, slots_max> room_{};
    walwire::primary::slot_table table_{room_};
    std::int64_t save_at_;
};

} // namespace posix
