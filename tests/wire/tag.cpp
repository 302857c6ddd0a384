#include <walwire/wire/tag.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string_view>

using namespace walwire::wire;

namespace {

constexpr backend_tag backend[] = {
    backend_tag::authentication,     backend_tag::negotiate_protocol_version,
    backend_tag::parameter_status,   backend_tag::backend_key_data,
    backend_tag::ready_for_query,    backend_tag::error_response,
    backend_tag::notice_response,    backend_tag::notification_response,
    backend_tag::row_description,    backend_tag::data_row,
    backend_tag::command_complete,   backend_tag::empty_query_response,
    backend_tag::copy_in_response,   backend_tag::copy_out_response,
    backend_tag::copy_both_response, backend_tag::copy_data,
    backend_tag::copy_done,
};
constexpr frontend_tag frontend[] = {
    frontend_tag::password,  frontend_tag::query,     frontend_tag::terminate,
    frontend_tag::copy_data, frontend_tag::copy_done, frontend_tag::copy_fail,
    frontend_tag::parse,     frontend_tag::bind,      frontend_tag::describe,
    frontend_tag::execute,   frontend_tag::close,     frontend_tag::function_call,
    frontend_tag::flush,     frontend_tag::sync,
};

} // namespace

TEST_CASE("tags are the letters of the protocol, each direction's in one order") {
    std::size_t at = 0;
    for (const char letter : std::string_view("RvSKZENATDCIGHWdc"))
        CHECK(static_cast<char>(backend[at++]) == letter);
    CHECK(at == std::size(backend));
    at = 0;
    for (const char letter : std::string_view("pQXdcfPBDECFHS"))
        CHECK(static_cast<char>(frontend[at++]) == letter);
    CHECK(at == std::size(frontend));
}

TEST_CASE(
    "the two directions share letters for different things, so neither can stand for the other") {
    std::set<char> shared;
    for (const backend_tag b : backend) {
        for (const frontend_tag f : frontend) {
            if (static_cast<char>(b) == static_cast<char>(f)) shared.insert(static_cast<char>(b));
        }
    }
    CHECK(shared == std::set<char>{'C', 'D', 'E', 'H', 'S', 'c', 'd'});
    CHECK(copy_data_tag == static_cast<unsigned char>(backend_tag::copy_data));
    CHECK(copy_data_tag == static_cast<unsigned char>(frontend_tag::copy_data));
}

TEST_CASE("a header is a tag and a length") {
    CHECK(tag_size == 1);
    CHECK(length_size == 4);
    CHECK(header_size == 5);
}
