// Result sets: a description of the columns, then rows of texts.
//
//     RowDescription  Int16 n | n x { name \0 | table oid 4 | attribute 2 | type oid 4 |
//                                     type size 2 | type modifier 4 | format 2 }
//     DataRow         Int16 n | n x { Int32 size, or -1 for NULL | bytes }
//
// Replication commands answer in text throughout. Their column types differ between versions (a
// timeline is int4 up to 15 and int8 after; a history's content is labelled bytea up to 13 and is
// plain bytes all the same), so readers go by position and text, and never by type.
//
// Both messages are checked whole before any part is handed out; iterating cannot fail afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "message.hpp"
#include "tag.hpp"

namespace walwire::wire {

// Object identifiers of the types that replication commands answer with.
namespace type_oid {
inline constexpr std::uint32_t bytea = 17;
inline constexpr std::uint32_t int8 = 20;
inline constexpr std::uint32_t int4 = 23;
inline constexpr std::uint32_t text = 25;
inline constexpr std::uint32_t oid = 26;
} // namespace type_oid

struct column {
    std::string_view name;
    std::uint32_t table_oid = 0;
    std::int16_t attribute = 0;
    std::uint32_t type = type_oid::text;
    std::int16_t type_size = -1;
    std::int32_t type_modifier = -1;
    std::int16_t format = 0; // 0 text, 1 binary
};

namespace detail {

inline column read_column(reader& in) noexcept {
    column read;
    read.name = in.c_string();
    read.table_oid = in.u32();
    read.attribute = in.i16();
    read.type = in.u32();
    read.type_size = in.i16();
    read.type_modifier = in.i32();
    read.format = in.i16();
    return read;
}

} // namespace detail

class row_description {
  public:
    row_description() = default;

    // row_invalid: fewer or more bytes than its columns have, or more columns than `columns_max`.
    static result<row_description> parse(bytes body, std::uint16_t columns_max) noexcept {
        reader in(body);
        row_description parsed;
        parsed.size_ = in.u16();
        parsed.columns_ = body.size() < 2 ? bytes{} : body.subspan(2);
        if (parsed.size_ > columns_max) return errc::row_invalid;
        for (std::uint16_t i = 0; i < parsed.size_ && in.ok(); ++i) detail::read_column(in);
        if (!in.done()) return errc::row_invalid;
        return parsed;
    }

    std::uint16_t size() const noexcept { return size_; }

    // The columns in order, by a visitor that takes a `const column&`.
    template <class Visitor>
    void each(Visitor&& visit) const noexcept {
        reader in(columns_);
        for (std::uint16_t i = 0; i < size_; ++i) visit(detail::read_column(in));
    }

  private:
    bytes columns_;
    std::uint16_t size_ = 0;
};

class data_row {
  public:
    data_row() = default;

    // row_invalid: a size below -1, values that overrun the message, bytes left over, or more
    // columns than `columns_max`.
    static result<data_row> parse(bytes body, std::uint16_t columns_max) noexcept {
        reader in(body);
        data_row parsed;
        parsed.size_ = in.u16();
        parsed.values_ = body.size() < 2 ? bytes{} : body.subspan(2);
        if (parsed.size_ > columns_max) return errc::row_invalid;
        for (std::uint16_t i = 0; i < parsed.size_ && in.ok(); ++i) {
            const std::int32_t size = in.i32();
            if (size < -1) return errc::row_invalid;
            if (size > 0) in.take(static_cast<std::size_t>(size));
        }
        if (!in.done()) return errc::row_invalid;
        return parsed;
    }

    std::uint16_t size() const noexcept { return size_; }

    // The value at `index`, or none where it is NULL or there is no such column.
    std::optional<std::string_view> operator[](std::size_t index) const noexcept {
        if (index >= size_) return std::nullopt;
        reader in(values_);
        for (std::size_t i = 0;; ++i) {
            const std::int32_t size = in.i32();
            const bytes value = in.take(size > 0 ? static_cast<std::size_t>(size) : 0);
            if (i < index) continue;
            if (size < 0) return std::nullopt;
            return as_text(value);
        }
    }

  private:
    bytes values_;
    std::uint16_t size_ = 0;
};

inline void put(writer& out, std::span<const column> columns) noexcept {
    put_message(out, backend_tag::row_description, [&](writer& body) noexcept {
        body.u16(static_cast<std::uint16_t>(columns.size()));
        for (const column& each : columns) {
            body.c_string(each.name);
            body.u32(each.table_oid);
            body.i16(each.attribute);
            body.u32(each.type);
            body.i16(each.type_size);
            body.i32(each.type_modifier);
            body.i16(each.format);
        }
    });
}

inline void put(writer& out, std::span<const std::optional<std::string_view>> values) noexcept {
    put_message(out, backend_tag::data_row, [&](writer& body) noexcept {
        body.u16(static_cast<std::uint16_t>(values.size()));
        for (const auto& value : values) {
            body.i32(value ? static_cast<std::int32_t>(value->size()) : -1);
            if (value) body.append(*value);
        }
    });
}

} // namespace walwire::wire
