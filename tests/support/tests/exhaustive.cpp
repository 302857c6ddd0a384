#include "support/exhaustive.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <sys/wait.h>

namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
    const auto* at = reinterpret_cast<const std::byte*>(text.data());
    return {at, at + text.size()};
}

std::string text_of(std::span<const std::byte> data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

} // namespace

TEST_CASE("a machine that does not care for chunks shows no difference") {
    for (const std::string text : {"", "a", "abcdefg"}) {
        const auto join = [](support::chunks& input) {
            std::string seen;
            while (auto in = input.next()) seen += text_of(*in);
            return seen;
        };
        CHECK(support::difference(bytes_of(text), join) == "");
    }
}

TEST_CASE("all splits are tried, whole and bytewise first, each once") {
    std::vector<std::string> runs;
    const auto keep = [&](support::chunks& input) {
        std::string sizes;
        while (auto in = input.next()) sizes += std::to_string(in->size()) + ' ';
        runs.push_back(sizes);
        return std::string();
    };
    CHECK(support::difference(bytes_of("abcd"), keep) == "");
    CHECK(runs == std::vector<std::string>{"4 ", "1 1 1 1 ", "1 3 ", "2 2 ", "3 1 "});
    runs.clear();
    CHECK(support::difference(bytes_of("abcdefghi"), keep, 2) == "");
    CHECK(runs == std::vector<std::string>{"9 ", "1 1 1 1 1 1 1 1 1 ", "1 8 ", "5 4 "});
}

TEST_CASE("places that a test chooses are all there is of cutting") {
    std::vector<std::string> runs;
    const auto keep = [&](support::chunks& input) {
        std::string sizes;
        while (auto in = input.next()) sizes += std::to_string(in->size()) + ' ';
        runs.push_back(sizes);
        return std::string();
    };
    CHECK(support::difference(bytes_of("abcdefghi"), {1, 2, 7}, {1, 7}, keep) == "");
    CHECK(runs == std::vector<std::string>{"9 ", "1 1 5 2 ", "1 8 ", "7 2 "});
    const auto counts = [](support::chunks& input) {
        int count = 0;
        while (input.next()) ++count;
        return std::to_string(count);
    };
    CHECK(
        support::difference(bytes_of("abcd"), {2}, {}, counts).starts_with("cut at all places: "));
}

TEST_CASE("a difference is found at its split and shown from where it begins") {
    const auto breaks = [](support::chunks& input) {
        std::string seen;
        while (auto in = input.next()) seen += in->size() == 3 ? "same X" : "";
        return seen + "same Y";
    };
    const std::string found = support::difference(bytes_of("abcdefg"), breaks);
    CHECK(found.starts_with("split at 3: "));
    CHECK(found.find("...X") != std::string::npos);
    CHECK(found.find("whole: ...Y") != std::string::npos);
    const auto counts = [](support::chunks& input) {
        int count = 0;
        while (input.next()) ++count;
        return std::to_string(count);
    };
    CHECK(support::difference(bytes_of("abc"), counts).starts_with("byte by byte: "));
}

TEST_CASE("input that a run leaves is a difference of its own") {
    const auto lazy = [](support::chunks& input) { return text_of(*input.next()).substr(0, 1); };
    CHECK(support::difference(bytes_of("abc"), lazy).find("input was left") != std::string::npos);
}

TEST_CASE("the chunk before the last is overwritten") {
    const auto keeps_view = [](support::chunks& input) {
        std::vector<std::span<const std::byte>> views;
        while (auto in = input.next()) views.push_back(*in);
        std::string seen;
        for (const auto view : views) seen += text_of(view);
        return seen;
    };
    CHECK(support::rendering(bytes_of("ab"), {2}, keeps_view) == "\xdd\xdd");
    CHECK(support::rendering(bytes_of("ab"), {1}, keeps_view) == "\xdd\xdd");
}

TEST_CASE("reading one byte past a guarded buffer is fatal, and the last byte is not") {
    const support::guarded buffer(bytes_of("exactly"));
    CHECK(text_of(buffer) == "exactly");
    for (const std::size_t past : {std::size_t{0}, std::size_t{1}}) {
        const pid_t child = ::fork();
        if (child == 0) {
            std::signal(SIGSEGV,
                        SIG_DFL); // a sanitizer's handler would turn it into an exit status
            const volatile std::byte* at = buffer.data() + buffer.size() - 1 + past;
            ::_exit(*at == std::byte{'y'} ? 0 : 1);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK((past == 0 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                         : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    }
}

TEST_CASE("a guarded buffer of any size ends at the page") {
    for (const std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, 20000u}) {
        const support::guarded buffer(size);
        CHECK(buffer.size() == size);
        CHECK(reinterpret_cast<std::uintptr_t>(buffer.data() + size) % 4096 == 0);
        CHECK(buffer.last(size / 2).size() == size / 2);
    }
}
