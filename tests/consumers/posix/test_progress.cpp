#include "progress.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

#include <array>
#include <cmath>

#include "descriptor.hpp"

using posix::descriptor;
using posix::progress_figures;
using walwire::millisecond;
using walwire::second;

namespace {

constexpr std::uint64_t mib = 1 << 20;

// A terminal and what its user sees of it.
struct terminal {
    terminal(unsigned short columns) : screen(::posix_openpt(O_RDWR | O_NOCTTY)) {
        REQUIRE(::grantpt(screen.number()) == 0);
        REQUIRE(::unlockpt(screen.number()) == 0);
        line = descriptor(::open(::ptsname(screen.number()), O_RDWR | O_NOCTTY));
        const winsize size{.ws_row = 25, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
        REQUIRE(::ioctl(line.number(), TIOCSWINSZ, &size) == 0);
        termios raw{};
        ::tcgetattr(line.number(), &raw);
        ::cfmakeraw(&raw);
        ::tcsetattr(line.number(), TCSANOW, &raw);
    }

    // What was written since the last look. What goes in at one end of a terminal comes out at the
    // other in order and in its own time, so a mark behind it says when all of it is there.
    std::string seen() const {
        constexpr char mark = '\x04';
        REQUIRE(::write(line.number(), &mark, 1) == 1);
        std::string text;
        for (char byte = 0; ::read(screen.number(), &byte, 1) == 1 && byte != mark;) text += byte;
        return text;
    }

    descriptor screen;
    descriptor line;
};

progress_figures at(std::uint64_t bytes) {
    return {{0x16B3748}, {1}, bytes, 0};
}

} // namespace

TEST_CASE("sizes are given in the unit that suits them") {
    CHECK(posix::size_text(0) == "0 B");
    CHECK(posix::size_text(1023) == "1023 B");
    CHECK(posix::size_text(1024) == "1.0 KiB");
    CHECK(posix::size_text(1536) == "1.5 KiB");
    CHECK(posix::size_text(1024 * 1024 - 1) == "1.0 MiB"); // not 1024.0 KiB
    CHECK(posix::size_text(3.25 * mib * 1024) == "3.2 GiB");
    CHECK(posix::size_text(1.8446744e19) == "16.0 EiB");
}

TEST_CASE("the line says position, timeline, bytes, rate and reconnects") {
    progress_figures figures{{0x2'05A1C000}, {3}, 1536 * mib, 0};
    CHECK(posix::progress_text(figures, 2.5 * mib) == "2/5A1C000 timeline 3, 1.5 GiB, 2.5 MiB/s");
    CHECK(posix::progress_text(progress_figures{}, 0) == "waiting for the server");
    figures.reconnects = 1;
    CHECK(posix::progress_text(figures, 0) == "2/5A1C000 timeline 3, 1.5 GiB, 0 B/s, 1 reconnect");
    figures.reconnects = 2;
    CHECK(posix::progress_text(figures, 0) == "2/5A1C000 timeline 3, 1.5 GiB, 0 B/s, 2 reconnects");
}

TEST_CASE("a backup's line says how much is done, how fast, and how long it may take") {
    posix::backup_figures figures;
    figures.waiting = "a checkpoint";
    CHECK(posix::progress_text(figures, 0) == "waiting for a checkpoint");
    figures.waiting = nullptr;
    figures.bytes = 42 * mib;
    figures.total = 100 * mib;
    CHECK(posix::progress_text(figures, 2.0 * mib) == "42% of 100.0 MiB, 2.0 MiB/s, 0:29 left");
    CHECK(posix::progress_text(figures, 0) == "42% of 100.0 MiB, 0 B/s");
    figures.bytes = 100 * mib; // it was only an estimate
    CHECK(posix::progress_text(figures, mib) == "99% of 100.0 MiB, 1.0 MiB/s");
    figures.bytes = 300 * mib;
    CHECK(posix::progress_text(figures, mib) == "99% of 100.0 MiB, 1.0 MiB/s");
    figures.total = 0;
    CHECK(posix::progress_text(figures, mib) == "300.0 MiB, 1.0 MiB/s");
    CHECK(posix::time_text(0) == "0:00");
    CHECK(posix::time_text(59.6) == "1:00");
    CHECK(posix::time_text(3599) == "59:59");
    CHECK(posix::time_text(3600 * 25 + 61) == "25:01:01");
    CHECK(posix::time_text(1e9) == "days");
    CHECK(posix::time_text(HUGE_VAL) == "days");
}

TEST_CASE("a terminal that is not to be written to is none") {
    posix::progress line(-1);
    line.show(posix::backup_figures{}, 0);
    CHECK(line.deadline() == walwire::never);
}

TEST_CASE("the line is rewritten five times a second and shows the rate of two seconds") {
    const terminal watched(80);
    {
        posix::progress line(watched.line.number());
        CHECK(line.deadline() == walwire::never);
        std::int64_t now = 1000 * second;
        line.show(at(0), now);
        CHECK(watched.seen() == "\r0/16B3748 timeline 1, 0 B, 0 B/s\x1b[K");
        line.show(at(mib), now + 199 * millisecond);
        CHECK(watched.seen().empty());
        line.show(at(mib), now + 200 * millisecond);
        CHECK(watched.seen() == "\r0/16B3748 timeline 1, 1.0 MiB, 5.0 MiB/s\x1b[K");
        CHECK(line.deadline() == now + 400 * millisecond);
        for (int i = 0; i < 50; ++i) line.show(at(mib), now += 200 * millisecond);
        CHECK(watched.seen().ends_with("1.0 MiB, 0 B/s\x1b[K"));
        CHECK(line.deadline() == walwire::never); // it has come to rest
        line.show(at(3 * mib), now += 200 * millisecond);
        CHECK(watched.seen() == "\r0/16B3748 timeline 1, 3.0 MiB, 1.0 MiB/s\x1b[K");
        line.clear();
        CHECK(watched.seen() == "\r\x1b[K");
        line.clear();
        CHECK(watched.seen().empty());
        line.show(at(3 * mib), now + second);
        CHECK_FALSE(watched.seen().empty());
    }
    CHECK(watched.seen() == "\n");
}

TEST_CASE("a narrow terminal gets what fits into one line") {
    const terminal watched(20);
    posix::progress line(watched.line.number());
    line.show(at(0), 0);
    CHECK(watched.seen() == "\r0/16B3748 timeline \x1b[K");
}

TEST_CASE("nothing is written where nobody watches") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_NONBLOCK) == 0);
    const descriptor reading(ends[0]);
    const descriptor writing(ends[1]);
    {
        posix::progress line(writing.number());
        line.show(at(0), 0);
        line.show(at(mib), second);
        CHECK(line.deadline() == walwire::never);
        line.clear();
    }
    char room[1];
    CHECK(::read(reading.number(), room, 1) < 0);
}
