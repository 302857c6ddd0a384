// What it costs to follow a base backup whose bytes are there already, 64 KiB at a time.
//
//     memcpy     each read is copied into one buffer, as a system call would
//     machine    the same, and the buffer then given to replica::base_backup, which hands the
//                archive's bytes on
//
// Both look at the first and last word of each run. The backup is one archive in messages of 32
// KiB, as servers send it: from 15 on with a byte in front that says so, up to 14 without.
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <walwire/backup/writer.hpp>
#include <walwire/replica/base_backup.hpp>

#include "support/prepared.hpp"
#include "support/receivers.hpp"
#include "support/rounds.hpp"

namespace {

using namespace bench;
using namespace walwire;

constexpr std::size_t archive_size = 32 * 1024 * 1024;
constexpr std::size_t rounds = 41;

std::array<std::byte, read_size> buffer;

// All that a server of this version says, without waiting for the questions.
std::vector<std::byte> prepared_backup(int version) {
    std::vector<std::byte> said;
    std::array<std::byte, 4096> room{};
    const auto say = [&](auto&& put_into) {
        writer out(room);
        put_into(out);
        said.insert(said.end(), out.written().begin(), out.written().end());
    };
    const auto complete = [&](std::string_view tag) {
        say([&](writer& out) { put(out, wire::command_complete{tag}); });
    };
    const auto ready = [&] { say([](writer& out) { put(out, wire::transaction_status::idle); }); };
    const auto row = [&](std::initializer_list<std::optional<std::string_view>> values) {
        const std::vector<std::optional<std::string_view>> all(values);
        const std::vector<wire::column> columns(all.size());
        say([&](writer& out) {
            wire::put(out, std::span<const wire::column>(columns));
            wire::put(out, std::span<const std::optional<std::string_view>>(all));
        });
    };
    const std::string name = std::to_string(version) + ".0";
    say([&](writer& out) {
        put(out, wire::authentication{});
        put(out, wire::parameter_status{"server_version", name});
    });
    ready();
    row({"7300000000000000000", "1", "0/3000000", std::nullopt});
    complete("IDENTIFY_SYSTEM"), ready();
    row({"16MB"}), complete("SHOW"), ready();
    row({"0700"}), complete("SHOW"), ready();
    row({"0/2000028", "1"}), complete("SELECT");
    row({std::nullopt, std::nullopt, "1"}), complete("SELECT");
    say([](writer& out) { wire::put_copy_response(out, wire::backend_tag::copy_out_response); });
    const bool typed = version >= 15;
    if (typed) {
        constexpr std::string_view first("\x64\0\0\0\x0fn"
                                         "base.tar\0\0",
                                         16);
        const auto bytes_of = as_bytes(first);
        said.insert(said.end(), bytes_of.begin(), bytes_of.end());
    }
    const std::vector<std::byte> body(backup::archive_message_size_max, std::byte{0x5a});
    for (std::size_t sent = 0; sent < archive_size; sent += body.size()) {
        say([&](writer& out) {
            out.u8(wire::copy_data_tag);
            out.u32(static_cast<std::uint32_t>(4 + (typed ? 1 : 0) + body.size()));
            if (typed) out.u8('d');
        });
        said.insert(said.end(), body.begin(), body.end());
    }
    say([](writer& out) { wire::put_copy_done(out); });
    row({"0/2000100", "1"}), complete("SELECT"), complete("BASE_BACKUP"), ready();
    return said;
}

struct no_machine {
    std::uint64_t feed(bytes in) { return touch(in); }
    bool whole() const { return true; }
};

class machine {
  public:
    machine() : taking_(options(), {stash_, out_}) {}

    std::uint64_t feed(bytes in) {
        std::uint64_t sum = 0;
        while (const auto event = taking_.poll(in, {})) {
            if (const auto* const run = std::get_if<backup::archive_data>(&*event)) {
                sum += touch(run->data);
            } else if (std::holds_alternative<replica::connect_wanted>(*event)) {
                static_cast<void>(taking_.connected());
            } else if (std::holds_alternative<replica::source_identified>(*event)) {
                static_cast<void>(taking_.begin({}));
            } else if (std::holds_alternative<backup::ended>(*event)) {
                whole_ = true;
            }
            taking_.consume(out_.size());
        }
        return sum;
    }
    bool whole() const { return whole_; }

  private:
    static replica::base_backup_options options() {
        replica::base_backup_options made;
        made.connection.user = "bench";
        return made;
    }

    std::array<std::byte, stash_size> stash_{};
    std::array<std::byte, out_size> out_{};
    replica::base_backup taking_;
    bool whole_ = false;
};

// Nanoseconds for each KiB.
template <class Machine>
double fed(const std::vector<std::byte>& said) {
    Machine given;
    std::uint64_t sum = 0;
    stopwatch watch(CLOCK_MONOTONIC);
    watch.start();
    sum += given.feed({});
    for (bytes left = said; !left.empty();) {
        const bytes read = left.first(left.size() < read_size ? left.size() : read_size);
        left = left.subspan(read.size());
        std::memcpy(buffer.data(), read.data(), read.size());
        keep(buffer);
        sum += given.feed(bytes(buffer).first(read.size()));
    }
    watch.stop();
    keep(sum);
    if (!given.whole()) std::puts("the benchmark is wrong: the backup did not come to its end");
    return watch.passed() * 1024 / static_cast<double>(said.size());
}

void measure(const char* title, int version) {
    const std::vector<std::byte> said = prepared_backup(version);
    const results found({{"memcpy", [&] { return fed<no_machine>(said); }},
                         {"machine", [&] { return fed<machine>(said); }}},
                        rounds);
    found.print(title, "ns/KiB");
    found.compare("machine", "memcpy", 1.05);
}

} // namespace

int main() {
    measure("A backup of a server of 15 or later", 18);
    measure("A backup of a server of up to 14", 14);
}
