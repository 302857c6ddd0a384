// The settings that a server reports when it lets a client in: ParameterStatus, one for each.
//
// Clients read a few of them and expect all: server_version decides which grammar they use, the
// absence of standard_conforming_strings makes libpq quote as it did in 2006. Which there are
// depends on the version; the order does not matter (from 16 on, PostgreSQL's is that of a hash
// table).
//
// Source of truth: the manual, "Asynchronous Operations"; what servers 12 to 18 send.
#pragma once

#include <string_view>

#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../lsn.hpp"
#include "../wire/backend.hpp"
#include "options.hpp"

namespace walwire::primary {

namespace detail {

struct reported_setting {
    std::string_view name;
    std::string_view value;
    int since; // the first version that reports it
};

// As a walsender without a database has them. Empty values are filled in.
inline constexpr reported_setting reported_settings[] = {
    {"application_name", {}, 12},
    {"client_encoding", "SQL_ASCII", 12},
    {"DateStyle", "ISO, MDY", 12},
    {"default_transaction_read_only", "off", 14},
    {"in_hot_standby", "off", 14},
    {"integer_datetimes", "on", 12},
    {"IntervalStyle", "postgres", 12},
    {"is_superuser", "off", 12},
    {"scram_iterations", {}, 16},
    {"search_path", "\"$user\", public", 18},
    {"server_encoding", "SQL_ASCII", 12},
    {"server_version", {}, 12},
    {"session_authorization", {}, 12},
    {"standard_conforming_strings", "on", 12},
    {"TimeZone", "UTC", 12},
};

} // namespace detail

// What a greeting needs at most, whatever the client's names: the last word of a SCRAM exchange,
// the settings, the cancel key and ReadyForQuery.
inline std::size_t greeting_size_max(const options& chosen) noexcept {
    std::size_t size = 800 + chosen.cancel_key.size() + chosen.server_version.size();
    for (const wire::parameter& each : chosen.parameters)
        size += wire::header_size + each.name.size() + each.value.size() + 2;
    return size;
}

inline void put_settings(writer& out, const options& chosen, int major_version,
                         std::string_view user, std::string_view application_name) noexcept {
    const auto is_told = [&](const auto& each) noexcept {
        return chosen.dialect == dialect::postgres && each.since <= major_version;
    };
    const decimal_text iterations(chosen.scram_iterations);
    for (const auto& each : detail::reported_settings) {
        if (!is_told(each)) continue;
        std::string_view value = each.value;
        if (each.name == "application_name") value = application_name;
        if (each.name == "scram_iterations") value = iterations;
        if (each.name == "server_version") value = chosen.server_version;
        if (each.name == "session_authorization") value = user;
        for (const wire::parameter& own : chosen.parameters)
            if (own.name == each.name) value = own.value;
        put(out, wire::parameter_status{each.name, value});
    }
    for (const wire::parameter& own : chosen.parameters) {
        bool told = false;
        for (const auto& each : detail::reported_settings)
            told = told || (is_told(each) && each.name == own.name);
        if (!told) put(out, wire::parameter_status{own.name, own.value});
    }
}

} // namespace walwire::primary
