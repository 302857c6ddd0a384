#include "link.hpp"

namespace posix {
namespace {

walwire::conninfo parse(const std::string& text, walwire::dialect spoken,
                        std::vector<char>& storage) {
    storage.resize(text.size() + 1);
    walwire::conninfo info;
    // An sslrootcert that is not named is libpq's (tls.hpp); AionDB wants it named.
    const auto support = spoken == walwire::dialect::aiondb ? walwire::tls_support::present
                                                            : walwire::tls_support::with_roots;
    const auto wrong = walwire::parse_conninfo(text, storage, info, support);
    if (wrong.code != walwire::errc::none) {
        std::array<char, walwire::conninfo_error_printed_size_max> room{};
        const auto shown = walwire::to_text(wrong, room);
        throw failure(std::string(shown ? *shown : walwire::text(wrong.code)));
    }
    if (info.gssencmode == walwire::gss_mode::require)
        throw failure("gssencmode=require: this program has no GSSAPI");
    return info;
}

walwire::replica::connection_options configure(const walwire::conninfo& info,
                                               const walwire::auth::crypto& crypto,
                                               walwire::dialect spoken) {
    const auto made = walwire::replica::from_conninfo(info, &crypto);
    if (!made) throw failure("require_auth: " + std::string(walwire::text(made.code())));
    walwire::replica::connection_options options = *made;
    options.first.dialect = spoken;
    options.first.gss = walwire::replica::encryption::off;
    if (options.first.application_name.empty()) options.first.application_name = "walwire";
    return options;
}

} // namespace

link::link(const std::string& text, walwire::dialect spoken)
    : info_(parse(text, spoken, storage_)), certificates_(info_), crypto_(walwire::auth::openssl()),
      options_(configure(info_, crypto_, spoken)), password_(find_password(info_, notes_)) {}

link::~link() {
    if (password_) walwire::wipe(std::as_writable_bytes(std::span(*password_)));
    walwire::wipe(std::as_writable_bytes(std::span(storage_)));
}

std::string link::peer() const {
    const std::string host(info_.host);
    const bool six = host.find(':') != std::string::npos;
    return (six ? '[' + host + ']' : host) + ':' + std::to_string(info_.port);
}

void link::dial(std::int64_t timeout, int wake) {
    hang_up();
    const std::int64_t deadline = walwire::later(now().steady, timeout);
    transport_.emplace(connect(resolve(info_), deadline, {}, wake));
}

void link::hang_up() noexcept {
    if (transport_) transport_->close();
    transport_.reset();
}

} // namespace posix
