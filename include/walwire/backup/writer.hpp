// The answer to BASE_BACKUP as a server gives it: backup/reader.hpp seen from the other end.
//
//     start()      recptr | tli, and the columns of the list
//     list()       one row each; the base directory, last, ends the list and opens the copy
//     archive()    an archive begins; in the order of the list up to 14
//     lend(), say()   its bytes: heads of messages into the outbox, bodies as they lie there
//     manifest()   the manifest begins; its bytes are lent like an archive's
//     end()        recptr | tli, the completions, ReadyForQuery
//     condemn()    recptr | tli; an error follows, for damage that was found on the way
//
// Every call puts all of its messages into the outbox, or none. Messages carry at most 32 KiB, as
// PostgreSQL's do unless it compresses (with lz4 and zstd they come to 162 KiB), so that a client
// which collects each one before it looks needs no more.
//
// What is checked is the order, against the conversation table and the count of archives; that an
// archive is a tar (backup/tar_writer.hpp writes them) and the manifest one of its files is the
// owner's business.
//
// Source of truth: the manual, "Streaming Replication Protocol", BASE_BACKUP; recorded servers of
// 12 to 18 for the columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/backend.hpp"
#include "../wire/conversation.hpp"
#include "../wire/copy.hpp"
#include "../wire/outbox.hpp"
#include "../wire/rows.hpp"
#include "archive.hpp"

namespace walwire::backup {

// The most bytes of an archive in one CopyData.
inline constexpr std::size_t archive_message_size_max = 32 * 1024;

class stream_writer {
  public:
    // Of a server of this major version. `manifest`: the client asked for one.
    stream_writer(int server_version, bool manifest) noexcept
        : version_(static_cast<std::int16_t>(server_version)), manifest_wanted_(manifest) {}

    // Each: not_now out of order; output_full; argument_too_long for what cannot fit into the
    // outbox. list(): argument_has_nul; tablespace_invalid behind the base directory's.
    errc start(wire::conversation& talk, wire::outbox& out, const started& from) noexcept;
    errc list(wire::conversation& talk, wire::outbox& out, const tablespace& next) noexcept;
    // `path` is the tablespace's, as it was listed. archive_unexpected when all that were listed
    // have come, or up to 14 for one that is compressed.
    errc archive(wire::conversation& talk, wire::outbox& out, archive_name name,
                 std::string_view path) noexcept;
    errc manifest(wire::conversation& talk, wire::outbox& out) noexcept;
    // How much was done so far. Versions up to 14 have no such message, and are told nothing.
    errc progress(wire::conversation& talk, wire::outbox& out, std::uint64_t done) noexcept;
    // backup_incomplete: archives that were listed, or the manifest, have not come.
    errc end(wire::conversation& talk, wire::outbox& out, const ended& at) noexcept {
        return end(talk, out, at, true);
    }
    // The same for a backup that is worth nothing: it says where the backup ended, and what stands
    // in the place of the completion is left to say, an error.
    errc condemn(wire::conversation& talk, wire::outbox& out, const ended& at) noexcept {
        return end(talk, out, at, false);
    }

    // AionDB's backup is one copy of nothing but what is lent: aiondb/backup.hpp's frames.
    errc open(wire::conversation& talk, wire::outbox& out) noexcept;
    errc close(wire::conversation& talk, wire::outbox& out) noexcept;

    // Whether bytes of the open archive, or of the manifest, can be lent. They must stay until this
    // is true again, or the backup is over.
    bool wants_data() const noexcept { return open_ && lent_.empty(); }
    errc lend(bytes data) noexcept {
        if (!wants_data()) return errc::not_now;
        lent_ = data;
        return errc::none;
    }
    bool owes() const noexcept { return !lent_.empty(); }
    // Puts the head of the next message of what is lent, and returns the message's body.
    bytes say(wire::conversation& talk, wire::outbox& out) noexcept;

  private:
    bool typed() const noexcept { return format_of(version_) == stream_format::typed; }
    // The columns of a position as its version labels them.
    void put_position(writer& out, lsn at, timeline_id timeline) const noexcept;
    void label(std::span<wire::column> columns) const noexcept {
        for (wire::column& each : columns) each.type_modifier = version_ < 16 ? 0 : -1;
    }
    // The copy of the archive before is over (up to 14), and the next one's begins.
    errc next_copy(wire::conversation& talk, wire::outbox& out) noexcept;
    errc end(wire::conversation& talk, wire::outbox& out, const ended& at, bool sound) noexcept;

    bytes lent_;
    std::uint32_t listed_ = 0;
    std::uint32_t archived_ = 0;
    std::int16_t version_;
    bool manifest_wanted_;
    bool base_listed_ = false;
    bool manifest_came_ = false;
    bool open_ = false; // an archive or the manifest
};

namespace detail {

// A CopyData of the typed format, but for what follows its first byte.
inline void put_typed(writer& out, char kind, std::size_t rest) noexcept {
    out.u8(wire::copy_data_tag);
    out.u32(static_cast<std::uint32_t>(wire::length_size + 1 + rest));
    out.u8(static_cast<std::uint8_t>(kind));
}

} // namespace detail

inline void stream_writer::put_position(writer& out, lsn at, timeline_id timeline) const noexcept {
    wire::column columns[2];
    columns[0].name = "recptr";
    columns[1].name = "tli";
    columns[1].type = wire::type_oid::int8;
    columns[1].type_size = version_ < 16 ? -1 : 8;
    label(columns);
    const lsn_text position = to_text(at);
    const decimal_text number(timeline.value);
    const std::optional<std::string_view> values[] = {position, number};
    wire::put(out, std::span<const wire::column>(columns));
    wire::put(out, values);
    put(out, wire::command_complete{"SELECT"});
}

inline errc stream_writer::start(wire::conversation& talk, wire::outbox& out,
                                 const started& from) noexcept {
    if (talk.at() != wire::phase::asked) return errc::not_now;
    const errc code = out.put([&](writer& to) noexcept {
        put_position(to, from.start, from.timeline);
        wire::column columns[3];
        columns[0].name = "spcoid";
        columns[0].type = wire::type_oid::oid;
        columns[0].type_size = 4;
        columns[1].name = "spclocation";
        columns[2].name = "size";
        columns[2].type = wire::type_oid::int8;
        columns[2].type_size = 8;
        label(columns);
        wire::put(to, std::span<const wire::column>(columns));
    });
    if (code != errc::none) return code;
    for (const wire::message said :
         {wire::message::row_description, wire::message::data_row, wire::message::command_complete,
          wire::message::row_description})
        static_cast<void>(talk.send(said));
    return errc::none;
}

inline errc stream_writer::list(wire::conversation& talk, wire::outbox& out,
                                const tablespace& next) noexcept {
    if (base_listed_) return errc::tablespace_invalid;
    if (talk.at() != wire::phase::rows) return errc::not_now;
    if (next.path.find('\0') != std::string_view::npos) return errc::argument_has_nul;
    const bool base = next.oid == 0;
    const errc code = out.put([&](writer& to) noexcept {
        const decimal_text oid(next.oid);
        const decimal_text size(next.size.value_or(0));
        std::optional<std::string_view> values[3];
        if (!base) values[0] = oid, values[1] = next.path;
        if (next.size) values[2] = size;
        wire::put(to, values);
        if (!base) return;
        put(to, wire::command_complete{"SELECT"});
        if (typed()) wire::put_copy_response(to, wire::backend_tag::copy_out_response);
    });
    if (code != errc::none) return code;
    ++listed_;
    base_listed_ = base;
    static_cast<void>(talk.send(wire::message::data_row));
    if (base) static_cast<void>(talk.send(wire::message::command_complete));
    if (base && typed()) static_cast<void>(talk.send(wire::message::copy_out_response));
    return errc::none;
}

inline errc stream_writer::archive(wire::conversation& talk, wire::outbox& out, archive_name name,
                                   std::string_view path) noexcept {
    if (!base_listed_ || owes()) return errc::not_now;
    const bool compressed = name.compression != wire::backup_compression::none;
    if (archived_ == listed_ || manifest_came_ || (compressed && !typed()))
        return errc::archive_unexpected;
    if (path.find('\0') != std::string_view::npos) return errc::argument_has_nul;
    errc code = errc::none;
    if (typed()) {
        const archive_name_text file = to_text(name);
        const std::string_view file_text = file;
        code = out.put([&](writer& to) noexcept {
            detail::put_typed(to, 'n', file_text.size() + 1 + path.size() + 1);
            to.c_string(file_text);
            to.c_string(path);
        });
    } else {
        code = next_copy(talk, out);
    }
    if (code != errc::none) return code;
    ++archived_;
    open_ = true;
    return errc::none;
}

inline errc stream_writer::manifest(wire::conversation& talk, wire::outbox& out) noexcept {
    if (!base_listed_ || owes()) return errc::not_now;
    if (!manifest_wanted_ || manifest_came_) return errc::archive_unexpected;
    if (archived_ < listed_) return errc::backup_incomplete;
    const errc code = typed() ? out.put([](writer& to) noexcept { detail::put_typed(to, 'm', 0); })
                              : next_copy(talk, out);
    if (code == errc::none) manifest_came_ = open_ = true;
    return code;
}

inline errc stream_writer::next_copy(wire::conversation& talk, wire::outbox& out) noexcept {
    const bool copying = talk.at() == wire::phase::copy_out;
    const errc code = out.put([&](writer& to) noexcept {
        if (copying) wire::put_copy_done(to);
        wire::put_copy_response(to, wire::backend_tag::copy_out_response);
    });
    if (code != errc::none) return code;
    if (copying) static_cast<void>(talk.send(wire::message::copy_done_out));
    return talk.send(wire::message::copy_out_response);
}

inline errc stream_writer::progress(wire::conversation& talk, wire::outbox& out,
                                    std::uint64_t done) noexcept {
    if (talk.at() != wire::phase::copy_out || owes()) return errc::not_now;
    if (!typed()) return errc::none;
    return out.put([&](writer& to) noexcept {
        detail::put_typed(to, 'p', sizeof done);
        to.u64(done);
    });
}

inline bytes stream_writer::say(wire::conversation& talk, wire::outbox& out) noexcept {
    if (!owes() || !talk.may_send(wire::message::copy_data_out)) return {};
    const std::size_t most = archive_message_size_max;
    const std::size_t size = lent_.size() < most ? lent_.size() : most;
    const errc code = out.put([&](writer& to) noexcept {
        if (typed()) return detail::put_typed(to, 'd', size);
        to.u8(wire::copy_data_tag);
        to.u32(static_cast<std::uint32_t>(wire::length_size + size));
    });
    if (code != errc::none) return {};
    static_cast<void>(talk.send(wire::message::copy_data_out));
    const bytes body = lent_.first(size);
    lent_ = lent_.subspan(size);
    return body;
}

inline errc stream_writer::open(wire::conversation& talk, wire::outbox& out) noexcept {
    if (talk.at() != wire::phase::asked) return errc::not_now;
    version_ = 0;
    const errc code = next_copy(talk, out);
    open_ = code == errc::none;
    return code;
}

inline errc stream_writer::close(wire::conversation& talk, wire::outbox& out) noexcept {
    if (talk.at() != wire::phase::copy_out || base_listed_ || owes()) return errc::not_now;
    const errc code = out.put([](writer& to) noexcept {
        wire::put_copy_done(to);
        put(to, wire::command_complete{"BASE_BACKUP"});
        put(to, wire::transaction_status::idle);
    });
    if (code != errc::none) return code;
    for (const wire::message said : {wire::message::copy_done_out, wire::message::command_complete,
                                     wire::message::ready_for_query})
        static_cast<void>(talk.send(said));
    open_ = false;
    return errc::none;
}

inline errc stream_writer::end(wire::conversation& talk, wire::outbox& out, const ended& at,
                               bool sound) noexcept {
    if (talk.at() != wire::phase::copy_out || !base_listed_ || owes()) return errc::not_now;
    if (archived_ < listed_ || (manifest_wanted_ && !manifest_came_))
        return errc::backup_incomplete;
    const errc code = out.put([&](writer& to) noexcept {
        wire::put_copy_done(to);
        put_position(to, at.end, at.timeline);
        if (!sound) return;
        put(to, wire::command_complete{version_ < 13 ? "SELECT" : "BASE_BACKUP"});
        put(to, wire::transaction_status::idle);
    });
    if (code != errc::none) return code;
    for (const wire::message said : {wire::message::copy_done_out, wire::message::row_description,
                                     wire::message::data_row, wire::message::command_complete})
        static_cast<void>(talk.send(said));
    open_ = false;
    if (!sound) return errc::none;
    for (const wire::message said :
         {wire::message::command_complete, wire::message::ready_for_query})
        static_cast<void>(talk.send(said));
    return errc::none;
}

} // namespace walwire::backup
