// The same stream by way of libpq, as pg_receivewal and the server's walreceiver take it: a message
// at a time, in memory that libpq allocates.
#pragma once

#include <cstdio>

namespace bench {

// A comparison that does not happen must not look like one that went well.
inline void say_what_is_missing() {
#ifndef WALWIRE_BENCH_LIBPQ
    std::printf("SKIPPED: everything beside libpq, which was not found when this was built.\n");
#endif
}

} // namespace bench

#ifdef WALWIRE_BENCH_LIBPQ

#include <libpq-fe.h>

#include <string>

#include "receivers.hpp"

namespace bench {

class libpq_receiver {
  public:
    explicit libpq_receiver(const std::string& conninfo)
        : connection_(PQconnectdb(conninfo.c_str())) {
        expect(PQstatus(connection_) == CONNECTION_OK, PQerrorMessage(connection_));
        PGresult* const answer = PQexec(connection_, "START_REPLICATION PHYSICAL 0/1000000");
        expect(PQresultStatus(answer) == PGRES_COPY_BOTH, "libpq does not stream");
        PQclear(answer);
    }
    ~libpq_receiver() { PQfinish(connection_); }
    libpq_receiver(const libpq_receiver&) = delete;
    libpq_receiver& operator=(const libpq_receiver&) = delete;

    int number() const { return PQsocket(connection_); }
    std::size_t messages() const { return messages_; }

    // One read, and the messages that it completes.
    std::uint64_t take_read() {
        expect(PQconsumeInput(connection_) == 1, PQerrorMessage(connection_));
        std::uint64_t sum = 0;
        while (take(sum, 1)) continue;
        return sum;
    }
    // Waits for so many messages.
    std::uint64_t take(std::size_t messages) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < messages; ++i) expect(take(sum, 0), "libpq lost the stream");
        return sum;
    }

  private:
    bool take(std::uint64_t& sum, int without_waiting) {
        char* message = nullptr;
        const int size = PQgetCopyData(connection_, &message, without_waiting);
        if (size <= 0) return false;
        const bytes all(reinterpret_cast<const std::byte*>(message),
                        static_cast<std::size_t>(size));
        sum += touch(all.subspan(wire::wal_data_head_size));
        PQfreemem(message);
        ++messages_;
        return true;
    }

    PGconn* connection_;
    std::size_t messages_ = 0;
};

} // namespace bench

#endif
