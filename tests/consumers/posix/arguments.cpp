#include "arguments.hpp"

#include <array>
#include <random>
#include <string_view>
#include <utility>

#include <walwire/backup/checksum.hpp>
#include <walwire/wire/command.hpp>

namespace posix {
namespace {

// Walks the words: "-S slot", "-Sslot", "--slot slot" and "--slot=slot" all name the same option.
class words_reader {
  public:
    // Words that are no options go to `operands`; without them they are refused.
    explicit words_reader(std::span<char*> words, std::vector<std::string>* operands = nullptr)
        : rest_(words), operands_(operands) {}

    // The next option under its name, "-S" or "--slot"; false at the end.
    bool next() {
        if (!cluster_.empty()) {
            option_ = std::string("-") + cluster_.front();
            cluster_.remove_prefix(1);
            return true;
        }
        while (operands_ && !rest_.empty() && !is_option(rest_.front())) {
            operands_->emplace_back(rest_.front());
            rest_ = rest_.subspan(1);
        }
        if (rest_.empty()) return false;
        const std::string_view word = rest_.front();
        rest_ = rest_.subspan(1);
        attached_.reset();
        if (word.starts_with("--") && word.size() > 2) {
            const std::size_t equals = word.find('=');
            option_ = word.substr(0, equals);
            if (equals != std::string_view::npos) attached_ = word.substr(equals + 1);
        } else if (word.starts_with("-") && word.size() > 1) {
            option_ = word.substr(0, 2);
            cluster_ = word.substr(2);
        } else {
            throw usage_error("unexpected argument \"" + std::string(word) + "\"");
        }
        return true;
    }

    bool is(std::string_view brief, std::string_view full) const {
        return option_ == brief || option_ == full;
    }

    std::string value() {
        if (attached_) return *std::exchange(attached_, std::nullopt);
        if (!cluster_.empty()) return std::string(std::exchange(cluster_, {}));
        if (rest_.empty()) throw usage_error("option " + option_ + " needs a value");
        const std::string word = rest_.front();
        rest_ = rest_.subspan(1);
        return word;
    }

    // For options that have none.
    void no_value() const {
        if (attached_) throw usage_error("option " + option_ + " takes no value");
    }

    [[noreturn]] void unknown() const { throw usage_error("unknown option " + option_); }
    [[noreturn]] void invalid(const std::string& given) const {
        throw usage_error("option " + option_ + " cannot be \"" + given + "\"");
    }

  private:
    static bool is_option(std::string_view word) { return word.size() > 1 && word.front() == '-'; }

    std::span<char*> rest_;
    std::vector<std::string>* operands_;
    std::string option_;
    std::optional<std::string> attached_;
    std::string_view cluster_;
};

walwire::dialect parse_dialect(words_reader& words) {
    const std::string name = words.value();
    if (name == "postgres") return walwire::dialect::postgres;
    if (name == "aiondb") return walwire::dialect::aiondb;
    words.invalid(name);
}

// "0/5A1C000", or an entry's number as it is.
walwire::lsn parse_end(const std::string& text, walwire::dialect spoken) {
    if (const auto at = walwire::parse_lsn(text)) return *at;
    const auto number = walwire::detail::parse_decimal(text, UINT64_MAX);
    if (!number || spoken != walwire::dialect::aiondb)
        throw usage_error("option --endpos cannot be \"" + text + "\"");
    return {*number};
}

// "HOST:PORT", "[::1]:PORT", "*:PORT" or ":PORT".
void parse_listen(words_reader& words, serve_arguments& made) {
    const std::string text = words.value();
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) words.invalid(text);
    made.host = text.substr(0, colon);
    made.port = text.substr(colon + 1);
    if (made.host.starts_with('[') && made.host.ends_with(']'))
        made.host = made.host.substr(1, made.host.size() - 2);
    if (made.host == "*") made.host.clear();
    if (!walwire::detail::parse_decimal(made.port, 65535)) words.invalid(text);
}

login_method parse_login_method(words_reader& words) {
    const std::string name = words.value();
    if (name == "trust") return login_method::trust;
    if (name == "password") return login_method::password;
    if (name == "md5") return login_method::md5;
    if (name == "scram-sha-256") return login_method::scram_sha_256;
    words.invalid(name);
}

// What goes together, or is missing.
void check(const serve_arguments& made) {
    if (made.port.empty()) throw usage_error("serve needs a place to listen (--listen)");
    if (made.directory.empty()) throw usage_error("serve needs a directory (--wal)");
    if (made.dialect == walwire::dialect::aiondb && !made.server_version.empty())
        throw usage_error("--server-version is for PostgreSQL's dialect");
    if (made.certificate_file.empty() != made.key_file.empty())
        throw usage_error("--tls-cert and --tls-key need each other");
    if (made.login != login_method::trust && (made.user.empty() || made.password_file.empty()))
        throw usage_error("--auth with a password needs --user and --password-file");
}

template <class Value, std::size_t Count>
Value one_of(words_reader& words, const std::string& name,
             const std::array<std::pair<std::string_view, Value>, Count>& known) {
    for (const auto& [word, value] : known)
        if (word == name) return value;
    words.invalid(name);
}

backup_format parse_format(words_reader& words) {
    constexpr std::array<std::pair<std::string_view, backup_format>, 4> known{
        {{"plain", backup_format::plain},
         {"p", backup_format::plain},
         {"tar", backup_format::tar},
         {"t", backup_format::tar}}};
    return one_of(words, words.value(), known);
}

backup_log parse_log(words_reader& words) {
    constexpr std::array<std::pair<std::string_view, backup_log>, 6> known{
        {{"none", backup_log::none},
         {"n", backup_log::none},
         {"fetch", backup_log::fetch},
         {"f", backup_log::fetch},
         {"stream", backup_log::stream},
         {"s", backup_log::stream}}};
    return one_of(words, words.value(), known);
}

walwire::wire::backup_checkpoint parse_checkpoint(words_reader& words) {
    using walwire::wire::backup_checkpoint;
    constexpr std::array<std::pair<std::string_view, backup_checkpoint>, 2> known{
        {{"fast", backup_checkpoint::fast}, {"spread", backup_checkpoint::spread}}};
    return one_of(words, words.value(), known);
}

// "CRC32C", in any case.
walwire::wire::manifest_checksums parse_checksums(words_reader& words) {
    using walwire::wire::manifest_checksums;
    const std::string given = words.value();
    std::string upper = given;
    for (char& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    for (auto at = manifest_checksums::none; at <= manifest_checksums::sha512;
         at = static_cast<manifest_checksums>(static_cast<unsigned>(at) + 1))
        if (walwire::backup::checksum_name(at) == upper) return at;
    words.invalid(given);
}

// "zstd", "zstd:7" or "zstd:level=7,workers=2".
void parse_compression(words_reader& words, backup_arguments& made) {
    using walwire::wire::backup_compression;
    constexpr std::array<std::pair<std::string_view, backup_compression>, 4> known{
        {{"none", backup_compression::none},
         {"gzip", backup_compression::gzip},
         {"lz4", backup_compression::lz4},
         {"zstd", backup_compression::zstd}}};
    const std::string text = words.value();
    const std::size_t colon = text.find(':');
    made.compression = one_of(words, text.substr(0, colon), known);
    if (colon != std::string::npos) made.compression_detail = text.substr(colon + 1);
    if (made.compression == backup_compression::none) made.compression.reset();
}

// In kB/s, or with k or M behind it.
std::uint32_t parse_rate(words_reader& words) {
    using walwire::wire::backup_rate_max;
    using walwire::wire::backup_rate_min;
    const std::string text = words.value();
    std::string_view digits = text;
    const bool mega = digits.ends_with('M');
    if (mega || digits.ends_with('k')) digits.remove_suffix(1);
    const auto number = walwire::detail::parse_decimal(digits, backup_rate_max);
    const std::uint64_t rate = number ? *number * (mega ? 1024 : 1) : 0;
    if (rate < backup_rate_min || rate > backup_rate_max) words.invalid(text);
    return static_cast<std::uint32_t>(rate);
}

// "OLD=NEW"; a '=' within either has a backslash before it.
void parse_tablespace(words_reader& words,
                      std::vector<std::pair<std::string, std::string>>& tablespaces) {
    const std::string text = words.value();
    std::pair<std::string, std::string> pair;
    bool second = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escaped = text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '=';
        if (text[i] == '=' && second) words.invalid(text);
        if (text[i] == '=')
            second = true;
        else
            (second ? pair.second : pair.first) += text[escaped ? ++i : i];
    }
    if (!pair.first.starts_with('/') || !pair.second.starts_with('/')) words.invalid(text);
    for (const auto& [from, to] : tablespaces)
        if (from == pair.first || to == pair.second) words.invalid(text);
    tablespaces.push_back(std::move(pair));
}

// What goes together, or is missing.
void check(const backup_arguments& made) {
    if (made.directory.empty()) throw usage_error("backup needs a directory (-D)");
    if (!made.manifest && made.checksums)
        throw usage_error("--no-manifest and --manifest-checksums exclude each other");
    if (made.format == backup_format::tar && !made.tablespaces.empty())
        throw usage_error("-T is for plain format");
    const bool adorned = made.format == backup_format::tar || !made.tablespaces.empty() ||
                         made.checksums || made.compression || !made.incremental.empty() ||
                         made.max_rate != 0;
    if (made.dialect == walwire::dialect::aiondb && adorned)
        throw usage_error("AionDB's backups have no options");
}

// The options that are on or off; false if it is none of them.
bool take_flag(words_reader& words, backup_arguments& made) {
    struct flag {
        std::string_view brief, full;
        bool backup_arguments::*which;
        bool value;
    };
    constexpr std::array<flag, 6> flags{
        {{"-P", "--progress", &backup_arguments::progress, true},
         {"-v", "--verbose", &backup_arguments::verbose, true},
         {"", "--no-verify-checksums", &backup_arguments::verify_checksums, false},
         {"", "--no-slot", &backup_arguments::slot, false},
         {"-n", "--no-clean", &backup_arguments::clean, false},
         {"", "--no-manifest", &backup_arguments::manifest, false}}};
    for (const flag& each : flags) {
        if (!words.is(each.brief, each.full)) continue;
        words.no_value();
        made.*each.which = each.value;
        return true;
    }
    return false;
}

} // namespace

backup_arguments parse_backup(std::span<char*> given) {
    backup_arguments made;
    words_reader words(given);
    while (words.next()) {
        if (words.is("-d", "--dbname"))
            made.conninfo = words.value();
        else if (words.is("-D", "--pgdata") || words.is("", "--directory"))
            made.directory = words.value();
        else if (words.is("-F", "--format"))
            made.format = parse_format(words);
        else if (words.is("-X", "--wal-method"))
            made.log = parse_log(words);
        else if (words.is("-c", "--checkpoint"))
            made.checkpoint = parse_checkpoint(words);
        else if (words.is("-l", "--label"))
            made.label = words.value();
        else if (words.is("-T", "--tablespace-mapping"))
            parse_tablespace(words, made.tablespaces);
        else if (words.is("", "--manifest-checksums"))
            made.checksums = parse_checksums(words);
        else if (words.is("-i", "--incremental"))
            made.incremental = words.value();
        else if (words.is("-Z", "--compress"))
            parse_compression(words, made);
        else if (words.is("-r", "--max-rate"))
            made.max_rate = parse_rate(words);
        else if (words.is("", "--dialect"))
            made.dialect = parse_dialect(words);
        else if (!take_flag(words, made))
            words.unknown();
    }
    check(made);
    return made;
}

combine_arguments parse_combine(std::span<char*> given) {
    combine_arguments made;
    words_reader words(given, &made.backups);
    while (words.next()) {
        if (words.is("-o", "--output")) {
            made.directory = words.value();
        } else if (words.is("-T", "--tablespace-mapping")) {
            parse_tablespace(words, made.tablespaces);
        } else if (words.is("-v", "--verbose")) {
            words.no_value();
            made.verbose = true;
        } else {
            words.unknown();
        }
    }
    if (made.directory.empty()) throw usage_error("combine needs a directory (-o)");
    if (made.backups.empty()) throw usage_error("combine needs backups, the oldest first");
    return made;
}

receive_arguments parse_receive(std::span<char*> given) {
    receive_arguments made;
    std::optional<std::string> end;
    words_reader words(given);
    while (words.next()) {
        if (words.is("-d", "--dbname")) {
            made.conninfo = words.value();
        } else if (words.is("-D", "--directory")) {
            made.directory = words.value();
        } else if (words.is("-S", "--slot")) {
            made.slot = words.value();
            if (!walwire::wire::is_slot_name(made.slot)) words.invalid(made.slot);
        } else if (words.is("-s", "--status-interval")) {
            const std::string text = words.value();
            const auto seconds = walwire::detail::parse_decimal(text, 1'000'000);
            if (!seconds) words.invalid(text);
            made.status_seconds = static_cast<std::int64_t>(*seconds);
        } else if (words.is("-E", "--endpos")) {
            end = words.value();
        } else if (words.is("", "--metrics")) {
            made.metrics_file = words.value();
        } else if (words.is("", "--dialect")) {
            made.dialect = parse_dialect(words);
        } else if (words.is("", "--create-slot")) {
            words.no_value();
            made.create_slot = true;
        } else if (words.is("", "--if-not-exists")) {
            words.no_value();
            made.if_not_exists = true;
        } else if (words.is("", "--synchronous")) {
            words.no_value();
            made.synchronous = true;
        } else if (words.is("-n", "--no-loop")) {
            words.no_value();
            made.loop = false;
        } else if (words.is("-v", "--verbose")) {
            words.no_value();
            made.verbose = true;
        } else {
            words.unknown();
        }
    }
    if (end) made.end = parse_end(*end, made.dialect);
    if (made.directory.empty() && !made.create_slot)
        throw usage_error("receive needs a directory (-D)");
    if (made.create_slot && made.slot.empty()) throw usage_error("--create-slot needs a slot (-S)");
    return made;
}

identify_arguments parse_identify(std::span<char*> given) {
    identify_arguments made;
    words_reader words(given);
    while (words.next()) {
        if (words.is("-d", "--dbname"))
            made.conninfo = words.value();
        else if (words.is("", "--dialect"))
            made.dialect = parse_dialect(words);
        else
            words.unknown();
    }
    return made;
}

demo_arguments parse_demo(std::span<char*> given) {
    demo_arguments made;
    std::random_device random;
    made.seed = random();
    words_reader words(given);
    while (words.next()) {
        const bool size = words.is("", "--size");
        if (!size && !words.is("", "--seed")) words.unknown();
        const std::string text = words.value();
        const auto number = walwire::detail::parse_decimal(text, size ? 64 * 1024 : UINT32_MAX);
        if (!number || (size && *number == 0)) words.invalid(text);
        if (size)
            made.size = *number * 1024 * 1024;
        else
            made.seed = *number;
    }
    return made;
}

serve_arguments parse_serve(std::span<char*> given) {
    serve_arguments made;
    words_reader words(given);
    while (words.next()) {
        if (words.is("", "--listen"))
            parse_listen(words, made);
        else if (words.is("", "--wal"))
            made.directory = words.value();
        else if (words.is("", "--server-version"))
            made.server_version = words.value();
        else if (words.is("", "--tls-cert"))
            made.certificate_file = words.value();
        else if (words.is("", "--tls-key"))
            made.key_file = words.value();
        else if (words.is("", "--auth"))
            made.login = parse_login_method(words);
        else if (words.is("", "--user"))
            made.user = words.value();
        else if (words.is("", "--password-file"))
            made.password_file = words.value();
        else if (words.is("", "--backup"))
            made.backup = words.value();
        else if (words.is("", "--slots"))
            made.slots_file = words.value();
        else if (words.is("", "--dialect"))
            made.dialect = parse_dialect(words);
        else if (words.is("-v", "--verbose"))
            made.verbose = true;
        else
            words.unknown();
    }
    check(made);
    return made;
}

} // namespace posix
