// The SQLSTATEs that a walsender's refusals carry, by PostgreSQL's names for them.
//
// Five characters, of which the first two are the class. They are what a program may decide by; the
// sentence that goes with one is for people, and may be in any language.
//
// Source of truth: the manual, appendix "PostgreSQL Error Codes".
#pragma once

#include <string_view>

namespace walwire::wire::sqlstate {

inline constexpr std::string_view protocol_violation = "08P01";
inline constexpr std::string_view feature_not_supported = "0A000";
inline constexpr std::string_view numeric_value_out_of_range = "22003";
inline constexpr std::string_view character_not_in_repertoire = "22021";
inline constexpr std::string_view invalid_parameter_value = "22023";
inline constexpr std::string_view invalid_authorization = "28000";
inline constexpr std::string_view invalid_password = "28P01";
inline constexpr std::string_view syntax_error = "42601";
inline constexpr std::string_view invalid_name = "42602";
inline constexpr std::string_view name_too_long = "42622";
inline constexpr std::string_view undefined_object = "42704";
inline constexpr std::string_view duplicate_object = "42710";
inline constexpr std::string_view reserved_name = "42939";
inline constexpr std::string_view too_many_connections = "53300";
inline constexpr std::string_view configuration_limit_exceeded = "53400";
inline constexpr std::string_view program_limit_exceeded = "54000";
inline constexpr std::string_view object_not_in_prerequisite_state = "55000";
inline constexpr std::string_view object_in_use = "55006";
inline constexpr std::string_view query_canceled = "57014";
inline constexpr std::string_view admin_shutdown = "57P01";
inline constexpr std::string_view undefined_file = "58P01";
inline constexpr std::string_view internal_error = "XX000";

} // namespace walwire::wire::sqlstate
