#include <walwire/backup/manifest_reader.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recorded_manifests.hpp"
#include "support/exhaustive.hpp"
#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::backup;
using manifests::entry;
using manifests::file_lines;
using manifests::first_line;
using manifests::first_lines;
using manifests::ranges;
using manifests::read;
using manifests::sealed;

namespace {

std::string run(support::chunks& input) {
    std::array<std::byte, 512> room;
    manifest_reader reader(room, auth::openssl_digests());
    manifests::rendered seen;
    while (auto in = input.next()) {
        while (const auto event = reader.poll(*in)) std::visit(seen, *event);
        CHECK(in->empty());
    }
    reader.finish();
    bytes in;
    while (const auto event = reader.poll(in)) std::visit(seen, *event);
    return seen.text;
}

// Three files, one of each kind, and two timelines.
std::string small() {
    return sealed(first_lines +
                  file_lines(entry("base/1/2606_fsm", ", \"Checksum-Algorithm\": \"CRC32C\", "
                                                      "\"Checksum\": \"38dbd245\"") +
                             ",\n" + entry("gr\xc3\xbc\xc3\x9f\\u0065 \\ud83d\\ude00\\\"\\/\\n") +
                             ",\n{ \"Encoded-Path\": \"62e4\", \"Size\": "
                             "18446744073709551615, \"Last-Modified\": \"\" }") +
                  "\"WAL-Ranges\": [\n"
                  "{ \"Timeline\": 4294967295, \"Start-LSN\": \"1/0\", \"End-LSN\": "
                  "\"FFFFFFFF/FFFFFFFF\" },\n"
                  "{ \"Timeline\": 1, \"Start-LSN\": \"0/28\", \"End-LSN\": \"1/0\" }\n"
                  "],\n");
}

errc code_of(const std::string& text) {
    const manifests::verdict found = read(text);
    CHECK(found.ended == (found.code == errc::none));
    CHECK(found.offset <= text.size());
    return found.code;
}
// What becomes of a version 1 manifest with these lines in its middle.
errc with_lines(const std::string& lines) {
    return code_of(sealed(first_line + lines));
}
errc with_entry(const std::string& text) {
    return with_lines(file_lines(text) + ranges);
}
errc with_range(const std::string& text) {
    return with_lines(file_lines(entry("a")) + "\"WAL-Ranges\": [\n" + text + "\n],\n");
}
errc with_path(const std::string& path) {
    return with_entry(entry(path));
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
    const std::size_t at = text.find(what);
    REQUIRE(at != std::string::npos);
    return text.replace(at, what.size(), by);
}

} // namespace

TEST_CASE("recorded manifests are told as they are") {
    for (const auto& each : manifests::all) {
        CAPTURE(each.name);
        const std::string text = manifests::load(each.name);
        std::vector<std::byte> room(manifest_room_size);
        manifest_reader reader(room, auth::openssl_digests());
        bytes in = as_bytes(text);
        const auto first = reader.poll(in);
        REQUIRE(first);
        const auto* started = std::get_if<manifest_started>(&*first);
        REQUIRE(started);
        CHECK(started->version == each.version);
        CHECK(started->system_identifier.has_value() == (each.version == 2));
        CHECK(started->system_identifier.value_or(0) == each.system_identifier);
        std::size_t files = 0;
        std::optional<wal_range> range;
        while (const auto event = reader.poll(in)) {
            REQUIRE(!range);
            if (const auto* const found = std::get_if<wal_range>(&*event)) range = *found;
            if (range) continue;
            const auto* const file = std::get_if<listed_file>(&*event);
            REQUIRE(file);
            ++files;
            CHECK(file->checksum.algorithm == each.algorithm);
            CHECK(file->last_modified.size() == 23);
            CHECK(file->last_modified.ends_with(" GMT"));
            CHECK(is_listed_kind(file->path));
        }
        CHECK(files == each.files);
        REQUIRE(range);
        CHECK(*range == each.range);
        CHECK(!reader.over());
        reader.finish();
        const auto last = reader.poll(in);
        REQUIRE(last);
        const auto* ended = std::get_if<manifest_ended>(&*last);
        REQUIRE(ended);
        CHECK(ended->files == each.files);
        CHECK(ended->wal_ranges == 1);
        const std::string sum(std::string_view(to_text(ended->checksum)));
        CHECK(text.ends_with(sum + "\"}\n"));
        CHECK(reader.over());
        CHECK(!reader.poll(in));
    }
}

TEST_CASE("a small manifest is told in full") {
    const manifests::verdict found = read(small());
    CHECK(found.events.starts_with(
        "started 2 7\n"
        "file <base/1/2606_fsm> 3 <2026-11-21 09:46:47 GMT> CRC32C 38dbd245\n"
        "file <gr\xc3\xbc\xc3\x9f"
        "e \xf0\x9f\x98\x80\"/\n> 3 <2026-11-21 09:46:47 GMT>\n"
        "file <b\xe4> 18446744073709551615 <>\n"
        "range 4294967295 1/0 FFFFFFFF/FFFFFFFF\n"
        "range 1 0/28 1/0\n"
        "ended 3 2 "));
    CHECK(found.ended);
}

TEST_CASE("events do not depend on how the input is cut") {
    CHECK(support::difference(as_bytes(small()), run) == "");
    for (const auto& each : manifests::all)
        CHECK(support::difference(as_bytes(manifests::load(each.name)), run, 60) == "");
}

TEST_CASE("failures do not depend on how the input is cut") {
    const std::string right = small();
    for (std::size_t at = 0; at < right.size(); at += 5) {
        std::string text = right;
        text[at] ^= 0x02;
        CHECK(support::difference(as_bytes(text), run, 12) == "");
    }
}

TEST_CASE("a manifest truncated anywhere is not complete") {
    const std::string text = small();
    for (std::size_t size = 0; size < text.size(); ++size) {
        const auto found = read(text.substr(0, size));
        CHECK(found.code == errc::manifest_truncated);
        CHECK(found.offset == size);
        CHECK(!found.ended);
    }
    for (const auto& each : manifests::all) {
        const std::string real = manifests::load(each.name);
        for (std::size_t size = 0; size < real.size(); size += 4001)
            CHECK(read(real.substr(0, size)).code == errc::manifest_truncated);
        for (std::size_t size = real.size() - 100; size < real.size(); ++size)
            CHECK(read(real.substr(0, size)).code == errc::manifest_truncated);
    }
}

TEST_CASE("a manifest with any bit flipped never ends well") {
    const std::string right = small();
    for (std::size_t at = 0; at < right.size(); ++at) {
        for (int flip = 1; flip < 256; flip <<= 1) {
            std::string text = right;
            text[at] = static_cast<char>(static_cast<unsigned char>(text[at]) ^ flip);
            const auto found = read(text);
            // The digits of the checksum may be of either case, and so mean the same.
            const bool same_digit =
                at > right.size() - 68 && flip == 0x20 && text[at] >= 'A' && text[at] <= 'F';
            CHECK(found.ended == same_digit);
            CHECK((found.code == errc::none) == same_digit);
        }
    }
    for (const auto& each : manifests::all) {
        const std::string real = manifests::load(each.name);
        for (std::size_t at = 7; at < real.size() - 70; at += 1999) {
            std::string text = real;
            text[at] ^= 0x01;
            CHECK(!read(text).ended);
        }
    }
}

TEST_CASE("a manifest with any byte left out or doubled never ends well") {
    const std::string right = small();
    for (std::size_t at = 0; at < right.size(); ++at) {
        // In the last line a blank is neither covered by the checksum nor needed.
        const bool blank = right[at] == ' ' && at > right.size() - 90;
        CHECK(read(std::string(right).erase(at, 1)).ended == blank);
        CHECK(read(std::string(right).insert(at, 1, right[at])).ended == blank);
    }
}

TEST_CASE("every line changed where the checksum is made anew is read or refused with a code") {
    const std::string right = small();
    const std::string lines = right.substr(0, right.rfind('\n', right.size() - 2) + 1);
    std::size_t read_anyway = 0;
    for (std::size_t at = 0; at < lines.size(); ++at) {
        for (const char by : std::string_view("\"\\{}[],:x0-. \n\x01\xff")) {
            std::string text = lines;
            text[at] = by;
            const errc code = code_of(sealed(text));
            if (code == errc::none) ++read_anyway;
            CHECK(code != errc::manifest_checksum_mismatch);
            CHECK(code != errc::crypto_failed);
        }
    }
    CHECK(read_anyway > 100); // blanks, names and numbers
}

TEST_CASE("what is wrong with a file is said with its path") {
    const auto path_at = [](std::string_view what, std::string_view by) {
        const std::string text = replaced(small(), what, by);
        CHECK(support::difference(as_bytes(text), run, 12) == "");
        return read(text).path;
    };
    CHECK(path_at("base/1/2606_fsm", "../etc/passwd") == "../etc/passwd");
    CHECK(path_at("base/1/2606_fsm", "/etc/passwd") == "/etc/passwd");
    CHECK(path_at("base/1/2606_fsm", "a\\nb//c") == "a\nb//c");
    CHECK(path_at("base/1/2606_fsm", "base/\x01/2606") == "base/");
    CHECK(path_at("base/1/2606_fsm", "\\u0000") == "");
    CHECK(path_at("62e4", "2e2e") == "..");
    CHECK(path_at("62e4", "62e4f") == "62e4f"); // odd
    CHECK(path_at("62e4", "62eg") == "62eg");
    CHECK(path_at("38dbd245", "38dbd24") == "base/1/2606_fsm");
    CHECK(path_at("CRC32C", "CRC32D") == "base/1/2606_fsm");
    CHECK(path_at("\"Size\": 3", "\"Sise\": 3") == "base/1/2606_fsm");
    CHECK(path_at("18446744073709551615", "18446744073709551616") == "b\xe4");
    CHECK(path_at("46:47 GMT\", \"C", "46:47 \x01GMT\", \"C") == "base/1/2606_fsm");
    // Between two entries, and in what is none of a file, there is no path to be told.
    CHECK(path_at("\" },\n{ \"Path", "\" };\n{ \"Path") == "");
    CHECK(path_at("\"0/28\"", "\"028\"") == "");
    CHECK(path_at("\"WAL-Ranges\"", "\"Wal-Ranges\"") == "");
    CHECK(path_at("\"Size\": 3, \"Last-Modified\": \"2026-11-21 09:46:47 GMT\", \"C",
                  "\"Path\": \"twice\", \"C") == "base/1/2606_fsm");
    CHECK(read(small().substr(0, small().find("_fsm"))).path == "base/1/2606");
}

TEST_CASE("the checksum covers all but the last line") {
    const std::string right = small();
    CHECK(code_of(replaced(right, "base/1", "base/2")) == errc::manifest_checksum_mismatch);
    CHECK(code_of(replaced(right, ",\n\"Files\"", ", \n\"Files\"")) ==
          errc::manifest_checksum_mismatch);
    std::string other = right;
    other[other.size() - 5] = other[other.size() - 5] == '0' ? '1' : '0';
    const auto found = read(other);
    CHECK(found.code == errc::manifest_checksum_mismatch);
    CHECK(found.offset == right.size() - 2); // behind its quote
    const std::string blanks =
        replaced(right, "\"Manifest-Checksum\": ", "\"Manifest-Checksum\" \t: ");
    CHECK(code_of(blanks.substr(0, blanks.size() - 2) + " }\n") == errc::none);
}

TEST_CASE("the last line is a line, and the last one") {
    const std::string lines = first_line + file_lines(entry("a")) + ranges;
    const std::string sum = "\"Manifest-Checksum\": \"" + manifests::sha256_of(lines) + "\"";
    CHECK(code_of(lines + sum + "}\n") == errc::none);
    CHECK(code_of(lines + sum + "}") == errc::manifest_truncated);
    CHECK(code_of(lines + sum) == errc::manifest_truncated);
    for (const std::string_view end : {"}\n\n", "}\n ", "}\nx", "} \n", "}\r\n", "}x\n", "\n}\n",
                                       "]\n", ",\n}\n", ", \"Files\": []}\n", "}}\n", "}{\n"})
        CHECK(code_of(lines + sum + std::string(end)) == errc::manifest_malformed);
    for (const std::string_view in_front : {" ", "\t", "\r"}) {
        const std::string more = lines + std::string(in_front);
        CHECK(code_of(more + sum + "}\n") == errc::manifest_malformed);
    }
    CHECK(code_of(first_line + file_lines(entry("a")) + ranges.substr(0, ranges.size() - 1) + sum +
                  "}\n") == errc::manifest_malformed);
    CHECK(code_of(replaced(lines + sum + "}\n", "Checksum\": \"", "Checksum\":\n\"")) ==
          errc::manifest_malformed);
}

TEST_CASE("the checksum has the form of one") {
    const std::string lines = first_line + file_lines(entry("a")) + ranges;
    const std::string sum = manifests::sha256_of(lines);
    const auto with = [&](const std::string& text) {
        return code_of(lines + "\"Manifest-Checksum\": " + text + "}\n");
    };
    CHECK(with("\"" + sum + "\"") == errc::none);
    CHECK(with("\"" + sum.substr(1) + "\"") == errc::manifest_checksum_invalid);
    CHECK(with("\"" + sum + "00\"") == errc::manifest_checksum_invalid);
    CHECK(with("\"" + sum.substr(1) + "x\"") == errc::manifest_checksum_invalid);
    CHECK(with("\"\"") == errc::manifest_checksum_invalid);
    CHECK(with("7") == errc::manifest_malformed);
    CHECK(with("null") == errc::manifest_malformed);
}

TEST_CASE("the version comes first and is a known one") {
    const std::string rest = file_lines(entry("a")) + ranges;
    const auto with = [&](const std::string& first) { return code_of(sealed(first + rest)); };
    const auto version = [&](const std::string& text) {
        return with("{ \"PostgreSQL-Backup-Manifest-Version\": " + text + ",\n");
    };
    CHECK(version("1") == errc::none);
    for (const char* text : {"0", "3", "12", "18446744073709551615"})
        CHECK(version(text) == errc::manifest_version_unknown);
    for (const char* text : {"-1", "1.0", "1e0", "01", "00", "18446744073709551616", "1-", "1+1"})
        CHECK(version(text) == errc::number_invalid);
    for (const char* text : {"\"1\"", "true", "null", "[1]", "{", "", "1 1", "+1", ".5"})
        CHECK(version(text) == errc::manifest_malformed);
    CHECK(with("{ ") == errc::manifest_version_unknown);
    CHECK(with("{ \"System-Identifier\": 7,\n") == errc::manifest_version_unknown);
    CHECK(with("{ \"Version\": 1,\n") == errc::manifest_field_unknown);
    CHECK(with("[ ") == errc::manifest_malformed);
    CHECK(with("") == errc::manifest_malformed);
    CHECK(with("\xef\xbb\xbf" + first_line) == errc::manifest_malformed);
    CHECK(code_of("") == errc::manifest_truncated);
    CHECK(code_of("{}\n") == errc::manifest_field_missing);
    CHECK(with(first_line + "\"PostgreSQL-Backup-Manifest-Version\": 1,\n") ==
          errc::manifest_field_doubled);
}

TEST_CASE("version 2 has a system identifier and version 1 has none") {
    const std::string rest = file_lines(entry("a")) + ranges;
    const std::string second = replaced(first_line, "1", "2");
    const std::string identifier = "\"System-Identifier\": 7710559049754759303,\n";
    CHECK(code_of(sealed(second + identifier + rest)) == errc::none);
    CHECK(code_of(sealed(second + rest)) == errc::manifest_field_missing);
    CHECK(code_of(sealed(second + ranges + identifier)) == errc::manifest_field_missing);
    CHECK(code_of(sealed(second)) == errc::manifest_field_missing);
    CHECK(code_of(sealed(first_line + identifier + rest)) == errc::manifest_field_unknown);
    CHECK(code_of(sealed(second + identifier + identifier + rest)) == errc::manifest_field_doubled);
    for (const char* text : {"-7", "7e1", "07", "18446744073709551616"})
        CHECK(code_of(sealed(second + "\"System-Identifier\": " + text + ",\n" + rest)) ==
              errc::number_invalid);
    CHECK(code_of(sealed(second + "\"System-Identifier\": \"7\",\n" + rest)) ==
          errc::manifest_malformed);
}

TEST_CASE("both lists are there once, in either order, and may be empty") {
    const std::string files = file_lines(entry("a"));
    CHECK(with_lines(files + ranges) == errc::none);
    CHECK(with_lines(ranges + files) == errc::none);
    CHECK(with_lines("\"Files\": [\n],\n\"WAL-Ranges\": [],\n") == errc::none);
    CHECK(with_lines(files) == errc::manifest_field_missing);
    CHECK(with_lines(ranges) == errc::manifest_field_missing);
    CHECK(with_lines(files + ranges + files) == errc::manifest_field_doubled);
    CHECK(with_lines(files + ranges + ranges) == errc::manifest_field_doubled);
    CHECK(with_lines("\"Extra\": 1,\n" + files + ranges) == errc::manifest_field_unknown);
    CHECK(with_lines("\"Fil\\u0065s\": [\n],\n" + ranges) == errc::manifest_field_unknown);
    CHECK(code_of(first_line + files + ranges.substr(0, ranges.size() - 2) + "}\n") ==
          errc::manifest_field_missing);
}

TEST_CASE("blanks and line ends may stand between any two things") {
    const std::string one =
        "\r\n { \"PostgreSQL-Backup-Manifest-Version\" \t:\n1\n,\"Files\":[{"
        "\"Size\":0,\"Path\":\"a\",\n\n\"Last-Modified\" : \"\"}],\"WAL-Ranges\""
        "\n:\n[\n{\"End-LSN\":\"0/0\" , \"Start-LSN\":\"0/0\",\"Timeline\":1}\n]\n,"
        "\n\n";
    CHECK(code_of(sealed(one)) == errc::none);
    CHECK(code_of(sealed("\v" + one)) == errc::manifest_malformed);
    CHECK(code_of(sealed("\f" + one)) == errc::manifest_malformed);
    CHECK(code_of(sealed(std::string(1, '\0') + one)) == errc::manifest_malformed);
}

TEST_CASE("the form is JSON's and no deeper than it has to be") {
    const std::string good = entry("a");
    CHECK(with_entry(good + ", " + good) == errc::none);
    for (const std::string& text : {good + ",",
                                    "," + good,
                                    good + good,
                                    good + ",," + good,
                                    std::string("[]"),
                                    std::string("{ { } }"),
                                    std::string("7"),
                                    std::string("\"a\""),
                                    std::string("null"),
                                    std::string("{ \"Path\" }"),
                                    std::string("{ \"Path\", \"Size\": 1 }"),
                                    std::string("{ \"Path\": }"),
                                    std::string("{ : \"a\" }"),
                                    std::string("{ Path: \"a\" }"),
                                    std::string("{ 'Path': 'a' }"),
                                    std::string("{ \"Path\": { } }"),
                                    std::string("{ \"Path\": [\"a\"] }"),
                                    std::string("{ \"Path\": a }"),
                                    std::string("{ \"Path\": true }"),
                                    std::string("{ \"Path\": 7 }"),
                                    std::string("{ \"Size\": \"7\" }"),
                                    std::string("{ \"Size\": [7] }"),
                                    std::string("{ \"Size\": 7 7 }"),
                                    std::string("{ \"Path\": \"a\" \"b\" }"),
                                    std::string("{ \"Path\": \"a\", }"),
                                    std::string("{ , \"Path\": \"a\" }"),
                                    std::string("{ \"Path\": \"a\"; \"Size\": 7 }"),
                                    std::string("{ // \n }"),
                                    std::string("{ \"Size\": 7a }")}) {
        CAPTURE(text);
        CHECK(with_entry(text) == errc::manifest_malformed);
    }
    CHECK(code_of(std::string(100'000, '[')) == errc::manifest_malformed);
    CHECK(code_of(std::string(100'000, '{')) == errc::manifest_malformed);
    CHECK(with_lines("\"Files\": " + std::string(100'000, '[')) == errc::manifest_malformed);
    CHECK(with_lines("\"Files\": {},\n" + ranges) == errc::manifest_malformed);
    CHECK(with_lines("\"Files\": null,\n" + ranges) == errc::manifest_malformed);
}

TEST_CASE("an entry has each of its fields once and no others") {
    const std::string size = "\"Size\": 3";
    const std::string date = manifests::date;
    const auto with = [&](const std::string& fields) { return with_entry("{ " + fields + " }"); };
    const std::string path = "\"Path\": \"a\"";
    const std::string encoded = "\"Encoded-Path\": \"61\"";
    const std::string algorithm = "\"Checksum-Algorithm\": \"CRC32C\"";
    const std::string sum = "\"Checksum\": \"839206e3\"";
    CHECK(with(path + ", " + size + ", " + date) == errc::none);
    CHECK(with(date + ", " + size + ", " + encoded) == errc::none);
    CHECK(with(sum + ", " + path + ", " + size + ", " + date + ", " + algorithm) == errc::none);
    for (const std::string& text :
         {std::string(), path, path + ", " + size, path + ", " + date, size + ", " + date,
          path + ", " + size + ", " + date + ", " + algorithm,
          path + ", " + size + ", " + date + ", " + sum})
        CHECK(with(text) == errc::manifest_field_missing);
    for (const std::string& text :
         {path + ", " + path, path + ", " + encoded, encoded + ", " + path,
          encoded + ", " + encoded, size + ", " + path + ", " + size, date + ", " + date,
          sum + ", " + sum, algorithm + ", " + path + ", " + algorithm})
        CHECK(with(text) == errc::manifest_field_doubled);
    for (const char* text : {"\"Mode\": 7", "\"path\": \"a\"", "\"\": 1", "\"Timeline\": 1",
                             "\"Files\": []", "\"P\\u0061th\": \"a\"", "\"Path \": \"a\""})
        CHECK(with(text) == errc::manifest_field_unknown);
}

TEST_CASE("sizes are whole numbers of 64 bits") {
    const auto with = [](const std::string& size) {
        return with_entry(replaced(entry("a"), "3", size));
    };
    for (const char* text : {"0", "10", "18446744073709551615"}) CHECK(with(text) == errc::none);
    for (const char* text : {"-1", "-0", "1.5", "1e400", "1E2", "007", "18446744073709551616",
                             "99999999999999999999999999999999"})
        CHECK(with(text) == errc::number_invalid);
}

TEST_CASE("paths that lead elsewhere are refused in either form") {
    for (const char* path : {"", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a/.",
                             ".", "a//b", "a/", "\\u002e\\u002e/a", "\\/a"}) {
        CAPTURE(path);
        CHECK(with_path(path) == errc::manifest_path_refused);
    }
    const auto encoded = [](const std::string& digits) {
        return with_entry("{ \"Encoded-Path\": \"" + digits + "\", \"Size\": 3, " +
                          manifests::date + " }");
    };
    CHECK(encoded("61") == errc::none);
    CHECK(encoded("E4fF2f01") == errc::none);
    for (const char* digits : {"", "6", "616", "6g", "0x61", "61 ", "2f61", "2e2e2f61", "610062",
                               "00", "612f", "612f2f62", "a\xc3\xa4"}) {
        CAPTURE(digits);
        CHECK(encoded(digits) == errc::manifest_path_refused);
    }
}

TEST_CASE("strings that are not JSON's or not UTF-8 are refused") {
    for (const char* path :
         {"a\\u0000b", "\\ud800", "\\udc00", "\\x", "\\u12", "a\nb", "a\x01", "a\tb", "\xff",
          "\xc0\xaf", "\xed\xa0\x80", "\xc3", "\xf4\x90\x80\x80"}) {
        CAPTURE(path);
        CHECK(with_path(path) == errc::manifest_text_invalid);
    }
    CHECK(with_path(std::string("a\0b", 3)) == errc::manifest_text_invalid);
    CHECK(with_entry(replaced(entry("a"), "GMT", "\xff")) == errc::manifest_text_invalid);
    CHECK(with_entry(replaced(entry("a"), "Size", "S\\ize")) == errc::manifest_text_invalid);
}

TEST_CASE("checksums fit their algorithms") {
    const auto with = [](const std::string& algorithm, const std::string& sum) {
        return with_entry(entry("a", ", \"Checksum-Algorithm\": \"" + algorithm +
                                         "\", \"Checksum\": \"" + sum + "\""));
    };
    const auto digits = [](std::size_t count) { return std::string(count, 'f'); };
    const std::pair<std::string, std::size_t> sizes[] = {
        {"CRC32C", 8}, {"SHA224", 56}, {"SHA256", 64}, {"SHA384", 96}, {"SHA512", 128}};
    for (const auto& [name, size] : sizes) {
        CHECK(with(name, digits(size)) == errc::none);
        CHECK(with(name, digits(size - 2)) == errc::manifest_checksum_invalid);
        CHECK(with(name, digits(size + 2)) == errc::manifest_checksum_invalid);
        CHECK(with(name, digits(size - 1)) == errc::manifest_checksum_invalid);
        CHECK(with(name, digits(size - 1) + "g") == errc::manifest_checksum_invalid);
        CHECK(with(name, "") == errc::manifest_checksum_invalid);
    }
    for (const char* name : {"NONE", "none", "crc32c", "CRC32", "MD5", "SHA-256", "", "CRC32C "})
        CHECK(with(name, "ffffffff") == errc::manifest_algorithm_unknown);
}

TEST_CASE("ranges have a timeline and positions in order") {
    const auto with = [](const std::string& timeline, const std::string& start,
                         const std::string& end) {
        return with_range("{ \"Timeline\": " + timeline + ", \"Start-LSN\": \"" + start +
                          "\", \"End-LSN\": \"" + end + "\" }");
    };
    CHECK(with("1", "0/28", "0/100") == errc::none);
    CHECK(with("4294967295", "0/0", "FFFFFFFF/FFFFFFFF") == errc::none);
    CHECK(with("1", "0/28", "0/28") == errc::none);
    CHECK(with("0", "0/28", "0/100") == errc::timeline_invalid);
    CHECK(with("4294967296", "0/28", "0/100") == errc::timeline_invalid);
    CHECK(with("-1", "0/28", "0/100") == errc::number_invalid);
    CHECK(with("\"1\"", "0/28", "0/100") == errc::manifest_malformed);
    CHECK(with("1", "0/101", "0/100") == errc::lsn_invalid);
    CHECK(with("1", "1/0", "0/100") == errc::lsn_invalid);
    for (const char* text : {"", "0", "28", "0/", "/28", "0/123456789", "0-28", "0/28 ", "g/28"}) {
        CHECK(with("1", text, "FFFFFFFF/0") == errc::lsn_invalid);
        CHECK(with("1", "0/0", text) == errc::lsn_invalid);
    }
    for (const char* text :
         {"{ }", "{ \"Timeline\": 1 }", "{ \"Timeline\": 1, \"Start-LSN\": \"0/28\" }",
          "{ \"Start-LSN\": \"0/28\", \"End-LSN\": \"0/29\" }",
          "{ \"Timeline\": 1, \"End-LSN\": \"0/28\" }"})
        CHECK(with_range(text) == errc::manifest_field_missing);
    CHECK(with_range("{ \"Timeline\": 1, \"Timeline\": 1 }") == errc::manifest_field_doubled);
    CHECK(with_range(entry("a")) == errc::manifest_field_unknown);
}

TEST_CASE("an entry fits into the room or is too long") {
    const std::string text = sealed(first_line + file_lines(entry(std::string(50, 'p'))) + ranges);
    // The path and the date, while names and the whole's checksum take less.
    std::size_t least = 0;
    while (!read(text, least).ended) {
        CHECK(read(text, least).code == errc::manifest_text_too_long);
        REQUIRE(++least < 200);
    }
    CHECK(least == 50 + 23);
    const std::string longest(4096, 'p');
    CHECK(read(sealed(first_line + file_lines(entry(longest)) + ranges)).ended);
    std::string digits;
    while (digits.size() < 8192) digits += "fe";
    CHECK(code_of(sealed(first_line +
                         file_lines("{ \"Encoded-Path\": \"" + digits + "\", \"Size\": 3, " +
                                    manifests::date + " }") +
                         ranges)) == errc::none);
    CHECK(with_path(std::string(manifest_room_size, 'p')) == errc::manifest_text_too_long);
    CHECK(with_entry("{ \"" + std::string(manifest_room_size + 1, 'p')) ==
          errc::manifest_text_too_long);
}

TEST_CASE("without SHA-256 nothing is read") {
    const auto found = read(small(), manifest_room_size, auth::digests());
    CHECK(found.code == errc::crypto_missing);
    CHECK(found.offset == 0);
    CHECK(found.events == "failed: " + std::string(text(errc::crypto_missing)) + " at 0\n");
}

TEST_CASE("a digest that fails is a failure wherever it happens") {
    struct failing {
        int left = 0;
        int alive = 0;
    };
    for (int calls = 0; calls < 40; ++calls) {
        static failing state;
        state = {calls, 0};
        auth::digests with;
        with.begin = [](void*, auth::digest_algorithm) noexcept -> void* {
            if (state.left-- == 0) return nullptr;
            ++state.alive;
            return &state;
        };
        with.update = [](void*, bytes) noexcept { return state.left-- != 0; };
        with.finish = [](void*, mutable_bytes) noexcept {
            --state.alive;
            return state.left-- != 0;
        };
        with.abandon = [](void*) noexcept { --state.alive; };
        const auto found = read(small(), 512, with);
        CHECK(!found.ended);
        CHECK(state.alive == 0);
        CHECK(found.code ==
              (state.left < 0 ? errc::crypto_failed : errc::manifest_checksum_mismatch));
    }
}

TEST_CASE("after the end, whatever comes is eaten and nothing is told") {
    const std::string text = small();
    for (const std::string& broken : {text, text + "x", std::string("x")}) {
        std::array<std::byte, 512> room;
        manifest_reader reader(room, auth::openssl_digests());
        bytes in = as_bytes(broken);
        while (reader.poll(in)) {
        }
        reader.finish();
        while (reader.poll(in)) {
        }
        CHECK(reader.over());
        bytes more = as_bytes(text);
        CHECK(!reader.poll(more));
        CHECK(more.empty());
        reader.finish();
        CHECK(!reader.poll(more));
    }
}

TEST_CASE("reading allocates nothing but the digest") {
    const std::string text = small();
    std::array<std::byte, 512> room;
    manifest_reader reader(room, auth::openssl_digests());
    bytes in = as_bytes(text);
    support::allocations made;
    std::size_t events = 0;
    while (reader.poll(in)) ++events;
    reader.finish();
    while (reader.poll(in)) ++events;
    CHECK(made.count() == 0);
    CHECK(events == 7);
}
