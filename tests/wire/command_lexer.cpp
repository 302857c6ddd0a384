#include <walwire/wire/command_lexer.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace walwire;
using namespace walwire::wire::detail;

namespace {

// The tokens as "kind:text" words, with ~ behind those that must be folded or unescaped.
std::string tokens(std::string_view text, int major, dialect spoken = dialect::postgres) {
    static constexpr std::string_view kinds[] = {"end",    "key", "name",   "string",
                                                 "number", "lsn", "symbol", "open"};
    command_lexer lexer(text, major, spoken);
    std::string seen;
    for (std::size_t end = 0;;) {
        const token found = lexer.next();
        if (found.kind == token_kind::end) return seen;
        CHECK(found.offset >= end); // they neither overlap nor go back
        end = found.offset + found.size;
        CHECK(found.size > 0);
        CHECK(end <= text.size());
        if (!seen.empty()) seen += ' ';
        seen += kinds[static_cast<std::size_t>(found.kind)];
        seen += ':';
        seen += found.text;
        if (!found.verbatim) seen += '~';
    }
}

} // namespace

TEST_CASE("each kind of token is told from the others") {
    CHECK(tokens("", 18) == "");
    CHECK(tokens("  \t\n", 18) == "");
    CHECK(tokens("SLOT slot Slot", 18) == "key:SLOT~ name:slot name:Slot~");
    CHECK(tokens("\"Slot\" 'it''s'", 18) == "name:Slot string:it''s~");
    CHECK(tokens("12 0/1A ab/CD", 18) == "number:12 lsn:0/1A lsn:ab/CD");
    CHECK(tokens("(),;.", 18) == "symbol:( symbol:) symbol:, symbol:; symbol:.");
    CHECK(tokens("$a-", 18) == "symbol:$ name:a symbol:-");
    CHECK(tokens("'x", 18) == "open:x");
    CHECK(tokens("\"x''", 18) == "open:x''");
    CHECK(tokens("''", 18) == "string:");
    CHECK(tokens("'''", 18) == "open:''~");
}

TEST_CASE("the longest token wins") {
    CHECK(tokens("0/0TIMELINE", 18) == "lsn:0/0 key:TIMELINE~");
    CHECK(tokens("0/0AT", 18) == "lsn:0/0A name:T~");
    CHECK(tokens("abg/1", 18) == "name:abg symbol:/ number:1");
    CHECK(tokens("a/g", 18) == "name:a symbol:/ name:g");
    CHECK(tokens("1/", 18) == "number:1 symbol:/");
    CHECK(tokens("1x", 18) == "number:1 name:x");
    CHECK(tokens("1x 12 1/2", 0, dialect::aiondb) == "name:1x number:12 lsn:1/2");
}

TEST_CASE("doubled double quotes are one identifier since 19") {
    CHECK(tokens("\"a\"\"b\"", 18) == "name:a name:b");
    CHECK(tokens("\"a\"\"b\"", 19) == "name:a\"\"b~");
    CHECK(tokens("\"\"\"\"", 18) == "name: name:");
    CHECK(tokens("\"\"\"\"", 19) == "name:\"\"~");
    CHECK(tokens("\"\"\"", 18) == "name: open:");
    CHECK(tokens("\"\"\"", 19) == "open:\"\"~");
}

TEST_CASE("keywords are known in their versions and in their dialect") {
    CHECK(tokens("FAST", 14) == "key:FAST~");
    CHECK(tokens("FAST", 15) == "name:FAST~");
    CHECK(tokens("TWO_PHASE", 14) == "name:TWO_PHASE~");
    CHECK(tokens("TWO_PHASE", 15) == "key:TWO_PHASE~");
    CHECK(tokens("SHOW", 18, dialect::aiondb) == "name:SHOW~");
    CHECK(tokens("READ_REPLICATION_SLOT", 12, dialect::aiondb) == "key:READ_REPLICATION_SLOT~");
}

TEST_CASE("the scratch takes values until it is full") {
    std::vector<char> memory(6);
    scratch_room room(memory);
    command_lexer lexer("'it''s' ABC", 18, dialect::postgres);
    const token text = lexer.next();
    const token name = lexer.next();
    CHECK(room.put(text, text.text.size()));
    CHECK(room.since(0) == "it's");
    CHECK(room.put(name, 2)); // a limit counts what comes out
    CHECK(room.since(4) == "ab");
    CHECK_FALSE(room.put('x'));
    CHECK_FALSE(room.put(std::string_view("x")));
    CHECK(room.put(std::string_view()));
    CHECK(room.size() == 6);
}
