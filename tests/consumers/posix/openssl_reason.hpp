// What OpenSSL has to say about a call that failed.
#pragma once

#include <openssl/err.h>

#include <string>

#include "failure.hpp"

namespace posix {

// The oldest entry of OpenSSL's queue is the cause; those behind it say who passed it on.
inline std::string openssl_reason() {
    const unsigned long error = ERR_get_error();
    ERR_clear_error();
    if (error == 0) return "no reason was given";
    if (ERR_SYSTEM_ERROR(error)) return reason(static_cast<int>(ERR_GET_REASON(error)));
    const char* const text = ERR_reason_error_string(error);
    return text != nullptr ? text : "error " + std::to_string(error);
}

} // namespace posix
