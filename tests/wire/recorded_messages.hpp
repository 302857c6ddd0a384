// Recorded conversations as the messages that they consist of, in the order in which the recorder
// saw their last bytes pass.
//
// The streams are cut here by hand and not by the library's framer; what a message means is asked
// of conversation.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <walwire/wire/conversation.hpp>
#include <walwire/wire/startup.hpp>

#include "support/transcript.hpp"

namespace recorded {

struct spoken {
    support::side from = support::side::client;
    walwire::wire::message said = walwire::wire::message::count;
    std::uint8_t tag = 0; // 0: it has none
    walwire::bytes body;
};

struct conversation {
    support::transcript source; // which the bodies are views of
    std::vector<spoken> messages;
};

// One side's stream, cut at its messages, with the place where each ends.
class cutter {
  public:
    cutter(std::span<const std::byte> stream, support::side from) : stream_(stream), from_(from) {}

    struct cut {
        spoken message;
        std::size_t end;
    };
    const std::vector<cut>& cuts() const { return cuts_; }
    bool done() const { return at_ == stream_.size(); }

    // Encryption requests, then a StartupMessage or a CancelRequest. Returns the number of
    // requests.
    std::size_t start_up() {
        using walwire::wire::message;
        for (std::size_t requests = 0; !done(); ++requests) {
            const auto size = walwire::load<std::uint32_t>(need(4));
            const walwire::bytes body(need(size) + 4, size - 4);
            switch (walwire::load<std::uint32_t>(body.data())) {
            case walwire::wire::ssl_request_code: take(message::ssl_request, 0, body, size); break;
            case walwire::wire::gssenc_request_code:
                take(message::gssenc_request, 0, body, size);
                break;
            case walwire::wire::cancel_request_code:
                take(message::cancel_request, 0, body, size);
                return requests;
            default: take(message::startup, 0, body, size); return requests;
            }
        }
        return cuts_.size();
    }

    void encryption_answer() {
        if (done()) return;
        const auto answer = std::to_integer<char>(*need(1));
        if (answer != 'S' && answer != 'G' && answer != 'N') throw std::runtime_error("no answer");
        take(answer == 'N' ? walwire::wire::message::encryption_declined
                           : walwire::wire::message::encryption_accepted,
             0, {}, 1);
    }

    void tagged() {
        while (!done()) {
            const auto tag = std::to_integer<std::uint8_t>(*need(5));
            const auto length = walwire::load<std::uint32_t>(need(5) + 1);
            // A connection may have been cut off in the middle of a message.
            if (length + 1 > stream_.size() - at_) break;
            const walwire::bytes body(need(length + 1) + 5, length - 4);
            const auto meaning = from_ == support::side::server
                                     ? walwire::wire::backend_message(tag, body)
                                     : walwire::wire::frontend_message(tag);
            if (!meaning) throw std::runtime_error("a message without a meaning");
            take(*meaning, tag, body, length + 1);
        }
    }

  private:
    const std::byte* need(std::size_t size) const {
        if (size > stream_.size() - at_) throw std::runtime_error("the stream ends too early");
        return stream_.data() + at_;
    }
    void take(walwire::wire::message said, std::uint8_t tag, walwire::bytes body,
              std::size_t size) {
        at_ += size;
        cuts_.push_back({{from_, said, tag, body}, at_});
    }

    std::span<const std::byte> stream_;
    support::side from_;
    std::size_t at_ = 0;
    std::vector<cut> cuts_;
};

inline conversation load(const std::string& name) {
    conversation read{support::transcript::load(name), {}};
    cutter client(read.source.said(support::side::client), support::side::client);
    cutter server(read.source.said(support::side::server), support::side::server);
    for (std::size_t left = client.start_up(); left > 0; --left) server.encryption_answer();
    client.tagged();
    server.tagged();
    if (!client.done()) throw std::runtime_error(name + ": the client stops in a message");
    std::size_t said[2] = {0, 0};
    std::size_t next[2] = {0, 0};
    for (const support::record& each : read.source.records()) {
        const bool by_server = each.from == support::side::server;
        said[by_server] += each.data.size();
        const auto& cuts = (by_server ? server : client).cuts();
        for (std::size_t& at = next[by_server]; at < cuts.size() && cuts[at].end <= said[by_server];
             ++at)
            read.messages.push_back(cuts[at].message);
    }
    if (read.messages.size() != client.cuts().size() + server.cuts().size())
        throw std::runtime_error(name + ": messages were lost");
    return read;
}

} // namespace recorded
