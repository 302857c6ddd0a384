// A primary that does what a test tells it: answers the commands of one connection after another
// from a log that any test can compute, on a history that the test writes.
//
// It is no walsender. It knows trust, the commands that a receiver asks, and how to send WAL, end a
// timeline, refuse, shut down or fall silent, all by the wire's own encoders, and it checks what it
// reads no more than it must.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <walwire/wal/segment.hpp>
#include <walwire/wire/command_parser.hpp>
#include <walwire/wire/conversation.hpp>
#include <walwire/wire/copy.hpp>
#include <walwire/wire/framer.hpp>
#include <walwire/wire/frontend.hpp>
#include <walwire/wire/rows.hpp>

#include "support/log.hpp"
#include "support/wire_buffer.hpp"

namespace support {

using namespace walwire;

class scripted_primary {
  public:
    // What the server is.
    std::uint64_t system_identifier = 7'000'000'000'000'000'001;
    std::string version = "18.4";
    std::string segment_size = "1MB";
    std::string directory_mode = "0700";
    timeline_id timeline{1};
    lsn end{0x500000};
    std::map<std::uint32_t, std::string> histories; // by timeline
    std::map<std::uint32_t, lsn> switch_points;     // where a timeline was left
    std::optional<lsn> slot_restart;
    std::size_t message_size = 8192;

    // What it does to those who come. An error's SQLSTATE by a command or its first word; "" is the
    // start-up packet.
    std::map<std::string, std::string> refusals;
    bool fatal = false; // the refusals end the connection
    bool deaf = false;  // to the end of a stream

    std::vector<std::string> asked; // every command's text, over all connections
    std::vector<wire::standby_status_update> statuses;
    std::size_t terminations = 0;

    // A new connection: what was under way is gone.
    void accept() {
        to_client.clear();
        started_ = streaming_ = closed_ = false;
        at_ = {};
        framer_.reset();
    }
    bool closed() const { return closed_; }
    bool streaming() const { return streaming_; }

    // Reads what the client wrote and answers it.
    void read(bytes in) {
        while (!in.empty() && !closed_) {
            const wire::piece got = started_
                                        ? framer_.next(in, {1 << 16, 0, wire::copy_content::whole})
                                        : framer_.next_untagged(in, wire::startup_size_max);
            if (got.kind != wire::piece_kind::message) return;
            if (started_)
                heard(got);
            else
                start(got.data);
        }
    }

    // Sends WAL up to `until`, or to the end of the timeline that is streamed, and then the end of
    // it.
    void send(lsn until) {
        if (!streaming_) return;
        const auto left_at = switch_points.find(streamed_.value);
        const lsn stop = left_at == switch_points.end() ? end : left_at->second;
        while (at_ < until && at_ < stop) {
            const std::uint64_t size =
                std::min<std::uint64_t>({message_size, until - at_, stop - at_});
            put([&](writer& out) {
                wire::put(out, wire::wal_data_head{at_, end, 0}, static_cast<std::uint32_t>(size));
            });
            for (const lsn behind = at_ + size; at_ < behind;) {
                const bytes run = log_run(at_, behind - at_);
                to_client.push(run);
                at_ = at_ + run.size();
            }
        }
        if (left_at != switch_points.end() && at_ >= stop && !done_) {
            put([](writer& out) { wire::put_copy_done(out); });
            done_ = true;
        }
    }
    void ping() {
        put([&](writer& out) { wire::put(out, wire::primary_keepalive{end, 0, true}); });
    }
    // As a fast shutdown ends a stream.
    void shut_down() {
        if (streaming_) put([](writer& out) { wire::put(out, wire::command_complete{"COPY 0"}); });
        closed_ = true;
    }
    void put(const std::function<void(writer&)>& say) {
        std::array<std::byte, 4096> room;
        writer out(room);
        say(out);
        to_client.push(out.written());
    }

    wire_buffer to_client; // not yet delivered

  private:
    using text = std::optional<std::string_view>;

    void start(bytes body) {
        const auto packet = wire::parse_startup_packet(body);
        if (packet && std::holds_alternative<wire::ssl_request>(*packet)) {
            to_client.push(as_bytes("N"));
            return;
        }
        started_ = true;
        if (refuse("")) return;
        put([&](writer& out) {
            wire::put(out, wire::authentication{});
            wire::put(out, wire::parameter_status{"server_version", version});
            const std::array<std::byte, 4> key{};
            wire::put(out, wire::backend_key_data{1, key});
            wire::put(out, wire::transaction_status::idle);
        });
    }

    bool refuse(const std::string& word) {
        const auto found = refusals.find(word);
        if (found == refusals.end()) return false;
        const bool ends = fatal || word.empty();
        wire::error_fields fields;
        fields.severity = ends ? "FATAL" : "ERROR";
        fields.sqlstate = found->second;
        fields.message = "refused";
        put([&](writer& out) {
            wire::put(out, wire::backend_tag::error_response, fields);
            if (!ends) wire::put(out, wire::transaction_status::idle);
        });
        closed_ = ends;
        return true;
    }

    void heard(const wire::piece& got) {
        switch (got.tag) {
        case 'Q': command(wire::parse_query(got.data)->text); break;
        case 'X':
            ++terminations;
            closed_ = true;
            break;
        case 'd':
            if (!got.data.empty() && got.data[0] == std::byte{'r'})
                statuses.push_back(*wire::parse_standby_status_update(got.data));
            break;
        case 'c':
            if (!deaf) finish();
            break;
        default: break;
        }
    }

    void command(std::string_view query) {
        asked.emplace_back(query);
        const std::string word(query.substr(0, query.find(' ')));
        if (refuse(word) || refuse(asked.back())) return;
        std::array<char, 256> scratch;
        const auto parsed =
            wire::parse_command(query, scratch, std::atoi(version.c_str()), dialect::postgres);
        if (const auto* const history = std::get_if<wire::timeline_history>(&parsed.value)) {
            const auto name = wal::history_name(*history->timeline);
            rows({text(name), text(histories[history->timeline->value])});
        } else if (const auto* const stream = std::get_if<wire::start_replication>(&parsed.value)) {
            open(*stream);
        } else if (word == "IDENTIFY_SYSTEM") {
            const std::string identifier = std::to_string(system_identifier);
            const std::string number = std::to_string(timeline.value);
            const auto position = to_text(end);
            rows({text(identifier), text(number), text(position), std::nullopt});
        } else if (word == "SHOW") {
            rows({text(query.ends_with("data_directory_mode") ? directory_mode : segment_size)});
        } else if (word == "READ_REPLICATION_SLOT") {
            if (!slot_restart) return rows({text("physical"), std::nullopt, std::nullopt});
            const auto position = to_text(*slot_restart);
            rows({text("physical"), text(position), text("1")});
        } else if (word == "CREATE_REPLICATION_SLOT") {
            rows({text("s"), text("0/0"), std::nullopt, std::nullopt});
        } else {
            std::abort(); // a receiver asks for nothing else
        }
    }

    void open(const wire::start_replication& asked_for) {
        streamed_ = asked_for.timeline.value_or(timeline);
        at_ = asked_for.start;
        streaming_ = true;
        done_ = false;
        const auto left_at = switch_points.find(streamed_.value);
        if (left_at != switch_points.end() && at_ >= left_at->second) {
            streaming_ = false;
            next_timeline();
            return;
        }
        put([](writer& out) {
            wire::put_copy_response(out, wire::backend_tag::copy_both_response);
        });
    }

    void finish() {
        if (!streaming_) return;
        if (!done_) put([](writer& out) { wire::put_copy_done(out); });
        streaming_ = false;
        next_timeline();
    }
    void next_timeline() {
        const auto left_at = switch_points.find(streamed_.value);
        if (left_at != switch_points.end()) {
            const std::string next = std::to_string(streamed_.value + 1);
            const auto position = to_text(left_at->second);
            row({text(next), text(position)});
        }
        put([](writer& out) {
            wire::put(out, wire::command_complete{"START_STREAMING"});
            wire::put(out, wire::command_complete{"START_REPLICATION"});
            wire::put(out, wire::transaction_status::idle);
        });
    }

    void row(const std::vector<text>& values) {
        put([&](writer& out) {
            wire::column column;
            column.name = "column";
            const std::vector<wire::column> columns(values.size(), column);
            wire::put(out, std::span<const wire::column>(columns));
            wire::put(out, std::span<const text>(values));
        });
    }
    void rows(const std::vector<text>& values) {
        row(values);
        put([](writer& out) {
            wire::put(out, wire::command_complete{"SELECT"});
            wire::put(out, wire::transaction_status::idle);
        });
    }

    std::array<std::byte, 1 << 16> stash_{};
    wire::framer framer_{stash_};
    timeline_id streamed_;
    lsn at_;
    bool started_ = false;
    bool streaming_ = false;
    bool done_ = false;
    bool closed_ = false;
};

} // namespace support
