// A server that plays prepared words, over TCP on 127.0.0.1, to one client after another.
//
// It waits for a start-up packet and for one query, whatever they say, and answers them with the
// stream. A thread of its own does this, so that a client's processor time is the client's alone.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "receivers.hpp"

namespace bench {

inline void send_all(int number, bytes data) {
    while (!data.empty()) {
        const ssize_t sent = ::send(number, data.data(), data.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        data = data.subspan(static_cast<std::size_t>(sent));
    }
}

class played_server {
  public:
    // Without `wal` the stream is agreed to and stays empty.
    explicit played_server(const prepared& words, bool wal = true)
        : words_(words), wal_(wal), listening_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in place{};
        place.sin_family = AF_INET;
        place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof place;
        auto* const generic = reinterpret_cast<sockaddr*>(&place);
        expect(::bind(listening_, generic, size) == 0 && ::listen(listening_, 8) == 0 &&
                   ::getsockname(listening_, generic, &size) == 0,
               "no port to listen on");
        port_ = ntohs(place.sin_port);
        thread_ = std::thread([this] { play(); });
    }
    ~played_server() {
        ::shutdown(listening_, SHUT_RDWR);
        thread_.join();
        ::close(listening_);
    }
    played_server(const played_server&) = delete;
    played_server& operator=(const played_server&) = delete;

    std::string conninfo() const {
        return "host=127.0.0.1 port=" + std::to_string(port_) +
               " user=bench replication=true sslmode=disable gssencmode=disable";
    }
    int connect() const {
        const int number = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in place{};
        place.sin_family = AF_INET;
        place.sin_port = htons(port_);
        place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        expect(::connect(number, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0,
               "the server does not answer");
        return number;
    }

  private:
    void play() {
        for (;;) {
            const int number = ::accept(listening_, nullptr, nullptr);
            if (number < 0) return;
            const int yes = 1;
            ::setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            if (passed_over(number, 0)) send_all(number, words_.admission);
            if (passed_over(number, wire::tag_size)) send_all(number, words_.agreement);
            if (wal_) send_all(number, words_.wal);
            ::shutdown(number, SHUT_WR);
            std::array<std::byte, 4096> rest;
            while (::recv(number, rest.data(), rest.size(), 0) > 0) continue;
            ::close(number);
        }
    }
    // One message with so many bytes of tag in front of its length.
    static bool passed_over(int number, std::size_t tag) {
        std::array<std::byte, 4096> room;
        const std::size_t header = tag + wire::length_size;
        if (!received(number, std::span(room).first(header))) return false;
        const auto length = load<std::uint32_t>(room.data() + tag) - wire::length_size;
        return length <= room.size() && received(number, std::span(room).first(length));
    }
    static bool received(int number, mutable_bytes room) {
        const ssize_t size = ::recv(number, room.data(), room.size(), MSG_WAITALL);
        return size == static_cast<ssize_t>(room.size());
    }

    const prepared& words_;
    const bool wal_;
    int listening_;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

} // namespace bench
