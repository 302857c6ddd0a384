#include "arguments.hpp"

#include <random>
#include <string_view>
#include <utility>

#include <walwire/wire/command.hpp>

namespace posix {
namespace {

// Walks the words: "-S slot", "-Sslot", "--slot slot" and "--slot=slot" all name the same option.
class words_reader {
  public:
    explicit words_reader(std::span<char*> words) : rest_(words) {}

    // The next option under its name, "-S" or "--slot"; false at the end.
    bool next() {
        if (!cluster_.empty()) {
            option_ = std::string("-") + cluster_.front();
            cluster_.remove_prefix(1);
            return true;
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
    std::span<char*> rest_;
    std::string option_;
    std::optional<std::string> attached_;
    std::string_view cluster_;
};

walwire::dialect parse_dialect(words_reader& words) {
    const std::string name = words.value();
    if (name != "postgres") words.invalid(name);
    return walwire::dialect::postgres;
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
    if (made.certificate_file.empty() != made.key_file.empty())
        throw usage_error("--tls-cert and --tls-key need each other");
    if (made.login != login_method::trust && (made.user.empty() || made.password_file.empty()))
        throw usage_error("--auth with a password needs --user and --password-file");
}

} // namespace

receive_arguments parse_receive(std::span<char*> given) {
    receive_arguments made;
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
            const std::string text = words.value();
            const auto end = walwire::parse_lsn(text);
            if (!end) words.invalid(text);
            made.end = *end;
        } else if (words.is("", "--metrics")) {
            made.metrics_file = words.value();
        } else if (words.is("", "--dialect")) {
            static_cast<void>(parse_dialect(words));
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
        else if (words.is("", "--slots"))
            made.slots_file = words.value();
        else if (words.is("", "--dialect"))
            static_cast<void>(parse_dialect(words));
        else if (words.is("-v", "--verbose"))
            made.verbose = true;
        else
            words.unknown();
    }
    check(made);
    return made;
}

} // namespace posix
