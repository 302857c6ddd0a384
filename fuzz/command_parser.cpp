// Any text as a replication command to any version.
//
// The first byte chooses the version and dialect, the second how much scratch there is: as much as
// the text has bytes, or less. What is understood must consist of views into text and scratch, must
// be printable for the same version, and must then be understood as the same.
#include <walwire/wire/command_parser.hpp>
#include <walwire/wire/command_printer.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

bool inside(std::string_view view, std::string_view whole) {
    if (view.empty()) return true;
    const std::less_equal<const char*> not_behind;
    return not_behind(whole.data(), view.data()) &&
           not_behind(view.data() + view.size(), whole.data() + whole.size());
}

// Every view of a command, and what it promises about its names.
struct inspector {
    std::string_view text;
    std::string_view scratch;

    void view(std::string_view at) const {
        check(inside(at, text) || inside(at, scratch), "a view lies in the text or the scratch");
    }
    void slot(std::string_view name) const {
        check(is_slot_name(name), "a slot's name is one");
        view(name);
    }
    void operator()(const identify_system&) const {}
    void operator()(const upload_manifest&) const {}
    void operator()(const timeline_history& from) const {
        check(!from.timeline || from.timeline->valid(), "a timeline is valid");
    }
    void operator()(const show& from) const {
        check(!from.name.empty(), "a setting has a name");
        view(from.name);
    }
    void operator()(const create_replication_slot& from) const {
        slot(from.name);
        view(from.plugin);
    }
    void operator()(const read_replication_slot& from) const { slot(from.name); }
    void operator()(const alter_replication_slot& from) const { slot(from.name); }
    void operator()(const drop_replication_slot& from) const { slot(from.name); }
    void operator()(const start_replication& from) const {
        if (!from.slot.empty()) slot(from.slot);
        check(!from.timeline || from.timeline->valid(), "a timeline is valid");
    }
    void operator()(const start_logical_replication& from) const {
        slot(from.slot);
        for (auto rest = from.options; const auto option = rest.next();) {
            check(!option->name.empty(), "an option has a name");
            view(option->name);
            if (option->value) view(*option->value);
        }
    }
    void operator()(const base_backup& from) const {
        if (from.label != base_backup{}.label) view(from.label);
        view(from.target);
        view(from.target_detail);
        view(from.compression_detail);
        check(from.max_rate == 0 ||
                  (from.max_rate >= backup_rate_min && from.max_rate <= backup_rate_max),
              "a rate is in range");
    }
    void operator()(const sql& from) const {
        check(from.text.data() == text.data() && from.text.size() == text.size(),
              "SQL is the whole text");
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const int major = server_major_min + data[0] % 9;
    const dialect spoken = major > server_major_max ? dialect::aiondb : dialect::postgres;
    const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
    const bool enough = data[1] % 2 == 0;
    const std::size_t room = enough ? text.size() : text.size() * data[1] / 512;
    // Of exactly this size, so that a sanitizer sees the first byte past it.
    const auto scratch = std::make_unique<char[]>(room);

    const auto parsed = parse_command(text, {scratch.get(), room}, major, spoken);
    check(inside(parsed.truncated_identifier, text), "a cut identifier is shown as written");
    if (!parsed) {
        check(parsed.error.sqlstate.size() == 5, "an error has a code");
        check(parsed.error.offset <= text.size(), "an error has a place");
        check(parsed.error.subject.size() <= 128, "an error repeats little");
        check(!enough || parsed.error.code != errc::argument_too_long, "the text's size suffices");
        check(std::holds_alternative<sql>(parsed.value), "an error leaves no command");
        return 0;
    }
    std::visit(inspector{text, {scratch.get(), room}}, parsed.value);

    std::vector<std::byte> printed(2 * text.size() + 512);
    writer out(printed);
    check(put(out, parsed.value, major, spoken) == errc::none, "what is understood can be said");
    const std::string_view said = as_text(out.written());
    const auto second_scratch = std::make_unique<char[]>(said.size());
    const auto again = parse_command(said, {second_scratch.get(), said.size()}, major, spoken);
    check(again && again.value == parsed.value, "what is said is understood as the same");
    check(again.truncated_identifier.empty(), "nothing said is cut");
    return 0;
}
