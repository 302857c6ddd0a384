// Who may say what, when: the whole protocol as one table that both ends run.
//
// A connection is at all times in one phase. Every message, sent or received, is looked up under
// that phase; the row found gives the next phase, and a message without a row is refused. A replica
// runs the table over what it reads and over what it is about to write, and a primary runs the same
// table with the two changed about, so neither can say what the other would not accept. Nothing
// else moves a phase.
//
//     opening     fresh -> ssl_asked / gss_asked -> encrypting -> encrypted
//                        -> started -> an exchange of passwords or SASL messages -> authenticated
//     commands    authenticated -> idle -> asked -> rows -> answered -> idle
//     copying     asked -> copy_both -> one side finished -> both finished -> answered -> idle
//                 asked -> copy_out -> asked        asked -> copy_in -> copied_in -> answered
//     failing     any -> failed -> idle after an ERROR, any -> closed after a FATAL
//
// Messages cross on the wire: a client may still be sending when the server has reported an error.
// Rows marked `late` admit what may arrive in such a state and is to be passed over; nobody may
// begin to send it there.
//
// Source of truth: the manual, "Message Flow" and "Streaming Replication Protocol"; where they are
// silent, what servers 12 to 18 do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "backend.hpp"
#include "fields.hpp"
#include "tag.hpp"

namespace walwire::wire {

// Every message by meaning, whoever sends it. The client's stand before the server's.
enum class message : std::uint8_t {
    // From the client.
    ssl_request,
    gssenc_request,
    cancel_request,
    startup,
    password, // tag 'p': each phase knows which answer it is
    query,
    copy_data_in,
    copy_done_in,
    copy_fail,
    extended_query, // Parse, Bind, Describe, Execute, Close
    function_call,
    sync,
    flush,
    terminate,
    // From the server.
    encryption_accepted, // the bare byte 'S' or 'G'
    encryption_declined, // the bare byte 'N'
    negotiate_protocol_version,
    authentication_ok,
    authentication_password, // cleartext or MD5: one answer is owed
    authentication_gss,
    authentication_gss_continue,
    authentication_sasl,
    authentication_sasl_continue,
    authentication_sasl_final,
    parameter_status,
    backend_key_data,
    ready_for_query,
    error_response, // the connection survives it
    fatal_response, // an ErrorResponse behind which the server closes
    notice_response,
    notification_response,
    row_description,
    data_row,
    command_complete,
    empty_query_response,
    copy_in_response,
    copy_out_response,
    copy_both_response,
    copy_data_out,
    copy_done_out,
    // Not a message: the handshake that an encryption request led to is done, at both ends.
    encryption_done,
    count,
};

enum class phase : std::uint8_t {
    // Opening.
    fresh,
    ssl_asked,
    gss_asked,
    ssl_declined, // the other kind may still be asked for
    gss_declined,
    ssl_asked_again, // after the other kind was declined
    gss_asked_again,
    both_declined,
    encrypting, // the next bytes are the handshake's, not ours
    encrypted,
    started,    // StartupMessage is out
    negotiated, // and NegotiateProtocolVersion came
    password_asked,
    password_given,
    gss_token_asked,
    gss_token_given,
    sasl_offered,
    sasl_begun,
    sasl_challenged,
    sasl_answered,
    sasl_proven, // SASLFinal came: only now may AuthenticationOk
    authenticated,
    keyed, // and BackendKeyData came
    // Commands.
    idle,
    asked,
    rows,
    answered,
    failed,
    // The extended query protocol, refused.
    extended,
    skipping, // until Sync
    synced,
    // Copying.
    copy_in,
    copied_in,
    copy_out,
    copy_both,
    client_finished, // CopyDone from the client: the server may still send
    server_finished, // CopyDone from the server: the client may still send
    both_finished,
    next_timeline, // rows between both CopyDones and CommandComplete
    copy_answered,
    closed,
    count,
};

struct transition {
    phase from;
    message said;
    phase to;
    bool late = false;
};

namespace detail {

using m = message;
using p = phase;
inline constexpr bool late = true;

// The table. Messages that may come in many phases and change none of them follow it.
inline constexpr transition transitions[] = {
    // Encryption comes before anything else, each kind is asked for at most once, and bytes of
    // anything else before the answer are an attack.
    {p::fresh, m::ssl_request, p::ssl_asked},
    {p::fresh, m::gssenc_request, p::gss_asked},
    {p::ssl_asked, m::encryption_accepted, p::encrypting},
    {p::ssl_asked, m::encryption_declined, p::ssl_declined},
    {p::gss_asked, m::encryption_accepted, p::encrypting},
    {p::gss_asked, m::encryption_declined, p::gss_declined},
    {p::ssl_declined, m::gssenc_request, p::gss_asked_again},
    {p::gss_declined, m::ssl_request, p::ssl_asked_again},
    {p::ssl_asked_again, m::encryption_accepted, p::encrypting},
    {p::ssl_asked_again, m::encryption_declined, p::both_declined},
    {p::gss_asked_again, m::encryption_accepted, p::encrypting},
    {p::gss_asked_again, m::encryption_declined, p::both_declined},
    {p::encrypting, m::encryption_done, p::encrypted},
    {p::fresh, m::encryption_done, p::encrypted}, // direct TLS

    {p::fresh, m::startup, p::started},
    {p::ssl_declined, m::startup, p::started},
    {p::gss_declined, m::startup, p::started},
    {p::both_declined, m::startup, p::started},
    {p::encrypted, m::startup, p::started},
    {p::fresh, m::cancel_request, p::closed},
    {p::ssl_declined, m::cancel_request, p::closed},
    {p::gss_declined, m::cancel_request, p::closed},
    {p::both_declined, m::cancel_request, p::closed},
    {p::encrypted, m::cancel_request, p::closed},

    // Authentication. Once a SASL exchange has begun, success without the server's proof is none.
    {p::started, m::negotiate_protocol_version, p::negotiated},
    {p::started, m::authentication_ok, p::authenticated},
    {p::started, m::authentication_password, p::password_asked},
    {p::started, m::authentication_gss, p::gss_token_asked},
    {p::started, m::authentication_sasl, p::sasl_offered},
    {p::negotiated, m::authentication_ok, p::authenticated},
    {p::negotiated, m::authentication_password, p::password_asked},
    {p::negotiated, m::authentication_gss, p::gss_token_asked},
    {p::negotiated, m::authentication_sasl, p::sasl_offered},
    {p::password_asked, m::password, p::password_given},
    {p::password_given, m::authentication_ok, p::authenticated},
    {p::gss_token_asked, m::password, p::gss_token_given},
    {p::gss_token_given, m::authentication_gss_continue, p::gss_token_asked},
    {p::gss_token_given, m::authentication_ok, p::authenticated},
    {p::sasl_offered, m::password, p::sasl_begun},
    {p::sasl_begun, m::authentication_sasl_continue, p::sasl_challenged},
    {p::sasl_challenged, m::password, p::sasl_answered},
    {p::sasl_answered, m::authentication_sasl_continue, p::sasl_challenged},
    {p::sasl_answered, m::authentication_sasl_final, p::sasl_proven},
    {p::sasl_proven, m::authentication_ok, p::authenticated},
    {p::authenticated, m::backend_key_data, p::keyed},
    {p::authenticated, m::ready_for_query, p::idle}, // a proxy may have no key to give
    {p::keyed, m::ready_for_query, p::idle},

    // One command: any number of results, then ReadyForQuery.
    {p::idle, m::query, p::asked},
    {p::idle, m::terminate, p::closed},
    {p::asked, m::row_description, p::rows},
    {p::asked, m::command_complete, p::answered},
    {p::asked, m::empty_query_response, p::answered},
    {p::asked, m::copy_in_response, p::copy_in},
    {p::asked, m::copy_out_response, p::copy_out},
    {p::asked, m::copy_both_response, p::copy_both},
    {p::rows, m::data_row, p::rows},
    {p::rows, m::command_complete, p::answered},
    {p::answered, m::row_description, p::rows},
    {p::answered, m::command_complete, p::answered},
    {p::answered, m::empty_query_response, p::answered},
    {p::answered, m::copy_in_response, p::copy_in},
    {p::answered, m::copy_out_response, p::copy_out},
    {p::answered, m::copy_both_response, p::copy_both},
    {p::answered, m::ready_for_query, p::idle},

    // An ERROR ends the command wherever it stands; what the client was still sending is passed
    // over.
    {p::asked, m::error_response, p::failed},
    {p::rows, m::error_response, p::failed},
    {p::answered, m::error_response, p::failed},
    {p::copy_in, m::error_response, p::failed},
    {p::copied_in, m::error_response, p::failed},
    {p::copy_out, m::error_response, p::failed},
    {p::copy_both, m::error_response, p::failed},
    {p::client_finished, m::error_response, p::failed},
    {p::server_finished, m::error_response, p::failed},
    {p::both_finished, m::error_response, p::failed},
    {p::next_timeline, m::error_response, p::failed},
    {p::copy_answered, m::error_response, p::failed},
    {p::failed, m::ready_for_query, p::idle},

    // The extended protocol and function calls, which a walsender only refuses.
    {p::idle, m::extended_query, p::extended},
    {p::extended, m::error_response, p::skipping},
    {p::skipping, m::extended_query, p::skipping},
    {p::skipping, m::sync, p::synced},
    {p::idle, m::sync, p::synced},
    {p::synced, m::ready_for_query, p::idle},
    {p::idle, m::flush, p::idle},
    {p::skipping, m::flush, p::skipping},
    {p::skipping, m::query, p::skipping, late}, // nothing counts before Sync
    {p::skipping, m::function_call, p::skipping, late},
    {p::skipping, m::copy_data_in, p::skipping, late},
    {p::skipping, m::copy_done_in, p::skipping, late},
    {p::skipping, m::copy_fail, p::skipping, late},
    {p::idle, m::function_call, p::asked},

    // The client copies in (UPLOAD_MANIFEST); the server copies out (BASE_BACKUP).
    {p::copy_in, m::copy_data_in, p::copy_in},
    {p::copy_in, m::copy_done_in, p::copied_in},
    {p::copy_in, m::copy_fail, p::copied_in},
    {p::copy_in, m::flush, p::copy_in, late}, // they mean nothing in a copy, and something else
    {p::copy_in, m::sync, p::copy_in, late},  // behind one that failed meanwhile
    {p::copied_in, m::command_complete, p::answered},
    {p::copy_out, m::copy_data_out, p::copy_out},
    {p::copy_out, m::copy_done_out, p::asked},
    {p::copy_out, m::command_complete, p::answered},

    // Both copy (START_REPLICATION). Each side finishes by a CopyDone of its own; a server that
    // shuts down ends the copy by CommandComplete alone.
    {p::copy_both, m::copy_data_in, p::copy_both},
    {p::copy_both, m::copy_data_out, p::copy_both},
    {p::copy_both, m::copy_done_in, p::client_finished},
    {p::copy_both, m::copy_done_out, p::server_finished},
    {p::copy_both, m::command_complete, p::copy_answered},
    {p::client_finished, m::copy_data_out, p::client_finished},
    {p::client_finished, m::copy_done_out, p::both_finished},
    {p::client_finished, m::command_complete, p::copy_answered},
    {p::server_finished, m::copy_data_in, p::server_finished},
    {p::server_finished, m::copy_done_in, p::both_finished},
    {p::server_finished, m::command_complete, p::copy_answered},
    {p::server_finished, m::copy_data_out, p::server_finished, late}, // a last keepalive
    {p::both_finished, m::copy_data_out, p::both_finished, late},
    {p::both_finished, m::row_description, p::next_timeline},
    {p::both_finished, m::command_complete, p::copy_answered},
    {p::next_timeline, m::data_row, p::next_timeline},
    {p::next_timeline, m::command_complete, p::copy_answered},
    {p::copy_answered, m::copy_data_out, p::copy_answered, late},
    {p::copy_answered, m::copy_data_in, p::copy_answered, late},
    {p::copy_answered, m::copy_done_in, p::copy_answered, late},
    {p::copy_answered, m::command_complete, p::copy_answered},
    {p::copy_answered, m::ready_for_query, p::idle},

    // The client may leave at any time once it is in.
    {p::asked, m::terminate, p::closed},
    {p::rows, m::terminate, p::closed},
    {p::answered, m::terminate, p::closed},
    {p::failed, m::terminate, p::closed},
    {p::copy_in, m::terminate, p::closed},
    {p::copied_in, m::terminate, p::closed},
    {p::copy_out, m::terminate, p::closed},
    {p::copy_both, m::terminate, p::closed},
    {p::client_finished, m::terminate, p::closed},
    {p::server_finished, m::terminate, p::closed},
    {p::both_finished, m::terminate, p::closed},
    {p::next_timeline, m::terminate, p::closed},
    {p::copy_answered, m::terminate, p::closed},
    {p::extended, m::terminate, p::closed},
    {p::skipping, m::terminate, p::closed},
    {p::synced, m::terminate, p::closed},
};

// The table unrolled: one byte for each phase and message.
struct lookup {
    // Nothing leads back to the first phase, so its number can stand for no row at all.
    static constexpr std::uint8_t none = static_cast<std::uint8_t>(phase::fresh);
    static constexpr std::uint8_t late_bit = 0x80;
    std::array<std::array<std::uint8_t, static_cast<std::size_t>(message::count)>,
               static_cast<std::size_t>(phase::count)>
        next{};

    constexpr std::uint8_t& at(phase from, message said) noexcept {
        return next[static_cast<std::size_t>(from)][static_cast<std::size_t>(said)];
    }

    constexpr lookup() noexcept {
        for (const transition& each : transitions) {
            at(each.from, each.said) = static_cast<std::uint8_t>(
                static_cast<std::uint8_t>(each.to) | (each.late ? late_bit : std::uint8_t{0}));
        }
        constexpr auto end = static_cast<std::uint8_t>(phase::closed);
        for (std::uint8_t i = 0; i < end; ++i) {
            const auto here = static_cast<phase>(i);
            // Asides of the server: from the moment the client is in, whatever is going on.
            if (here >= phase::authenticated) {
                at(here, message::notice_response) = i;
                at(here, message::parameter_status) = i;
            }
            if (here >= phase::idle) at(here, message::notification_response) = i;
            // A server may give up at any moment, even before it has been asked anything, but not
            // in the middle of somebody else's handshake.
            if (here != phase::encrypting) at(here, message::fatal_response) = end;
            // What a failed copy left under way.
            if (here == phase::idle || here == phase::failed) {
                for (const message said :
                     {message::copy_data_in, message::copy_done_in, message::copy_fail}) {
                    at(here, said) = static_cast<std::uint8_t>(i | late_bit);
                }
            }
        }
    }
};

inline constexpr lookup conversation_table{};

} // namespace detail

// Where one connection stands.
class conversation {
  public:
    phase at() const noexcept { return at_; }

    // Whether this end may begin to send it now.
    bool may_send(message said) const noexcept {
        return next(said) != detail::lookup::none && (next(said) & detail::lookup::late_bit) == 0;
    }

    // This end is sending it: not_now when the protocol does not allow that, and then nothing
    // moves.
    errc send(message said) noexcept {
        if (!may_send(said)) return errc::not_now;
        at_ = static_cast<phase>(next(said));
        return errc::none;
    }

    // It came from the other end: unexpected_message when it may not come now.
    errc receive(message said) noexcept {
        if (next(said) == detail::lookup::none) return errc::unexpected_message;
        at_ = static_cast<phase>(next(said) & ~detail::lookup::late_bit);
        return errc::none;
    }

    // Whether it is to be passed over if it comes now from the other end: to be asked before
    // receive().
    bool is_late(message said) const noexcept {
        return next(said) != detail::lookup::none && (next(said) & detail::lookup::late_bit) != 0;
    }

    // The transport ended.
    void close() noexcept { at_ = phase::closed; }

  private:
    std::uint8_t next(message said) const noexcept {
        return detail::conversation_table
            .next[static_cast<std::size_t>(at_)][static_cast<std::size_t>(said)];
    }

    phase at_ = phase::fresh;
};

// What a server's message means, from its tag and body: unknown_message for a tag that is none,
// authentication_unknown for an authentication code that is none, malformed_message where the
// meaning hangs on a field that is not there.
inline result<message> backend_message(std::uint8_t tag, bytes body) noexcept {
    switch (static_cast<backend_tag>(tag)) {
    case backend_tag::authentication:
        if (body.size() < 4) return errc::malformed_message;
        switch (static_cast<authentication_code>(load<std::uint32_t>(body.data()))) {
        case authentication_code::ok: return message::authentication_ok;
        case authentication_code::cleartext_password:
        case authentication_code::md5_password: return message::authentication_password;
        case authentication_code::gss:
        case authentication_code::sspi: return message::authentication_gss;
        case authentication_code::gss_continue: return message::authentication_gss_continue;
        case authentication_code::sasl: return message::authentication_sasl;
        case authentication_code::sasl_continue: return message::authentication_sasl_continue;
        case authentication_code::sasl_final: return message::authentication_sasl_final;
        default: return errc::authentication_unknown;
        }
    case backend_tag::negotiate_protocol_version: return message::negotiate_protocol_version;
    case backend_tag::parameter_status: return message::parameter_status;
    case backend_tag::backend_key_data: return message::backend_key_data;
    case backend_tag::ready_for_query: return message::ready_for_query;
    case backend_tag::error_response: {
        const auto fields = parse_error_fields(body);
        if (!fields) return fields.code();
        return fields->fatal() ? message::fatal_response : message::error_response;
    }
    case backend_tag::notice_response: return message::notice_response;
    case backend_tag::notification_response: return message::notification_response;
    case backend_tag::row_description: return message::row_description;
    case backend_tag::data_row: return message::data_row;
    case backend_tag::command_complete: return message::command_complete;
    case backend_tag::empty_query_response: return message::empty_query_response;
    case backend_tag::copy_in_response: return message::copy_in_response;
    case backend_tag::copy_out_response: return message::copy_out_response;
    case backend_tag::copy_both_response: return message::copy_both_response;
    case backend_tag::copy_data: return message::copy_data_out;
    case backend_tag::copy_done: return message::copy_done_out;
    }
    return errc::unknown_message;
}

// What a client's message means, from its tag.
constexpr result<message> frontend_message(std::uint8_t tag) noexcept {
    switch (static_cast<frontend_tag>(tag)) {
    case frontend_tag::password: return message::password;
    case frontend_tag::query: return message::query;
    case frontend_tag::terminate: return message::terminate;
    case frontend_tag::copy_data: return message::copy_data_in;
    case frontend_tag::copy_done: return message::copy_done_in;
    case frontend_tag::copy_fail: return message::copy_fail;
    case frontend_tag::parse:
    case frontend_tag::bind:
    case frontend_tag::describe:
    case frontend_tag::execute:
    case frontend_tag::close: return message::extended_query;
    case frontend_tag::function_call: return message::function_call;
    case frontend_tag::flush: return message::flush;
    case frontend_tag::sync: return message::sync;
    }
    return errc::unknown_message;
}

} // namespace walwire::wire
