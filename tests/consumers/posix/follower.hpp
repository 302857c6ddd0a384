// What `walwire receive` does in either dialect: follows a server over its connections, and says
// how that goes.
//
// Dialling, encryption, passwords, errors, figures and signals are here. What is kept, and where,
// is for those who derive from it: they answer placement_wanted, take the data, and report what is
// durable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/replica/metrics.hpp>
#include <walwire/replica/wal_receiver.hpp>

#include "arguments.hpp"
#include "failure.hpp"
#include "link.hpp"
#include "progress.hpp"
#include "signals.hpp"

namespace posix {

class follower {
  public:
    follower(const follower&) = delete;
    follower& operator=(const follower&) = delete;

    // Until a signal, the end position, or a failure that trying again does not mend. Throws
    // failure.
    void run();

  protected:
    // `identifier_text`: of the AionDB system that what is here belongs to; it must outlive this.
    explicit follower(const receive_arguments& given, std::string_view identifier_text = {});
    ~follower() = default;

    const receive_arguments& given() const noexcept { return given_; }
    walwire::replica::wal_receiver& machine() noexcept { return machine_; }
    // How far the data goes that came; 0/0 before.
    walwire::lsn position() const noexcept { return position_; }
    void tell(const std::string& line);
    // "0/5A1C000", as the dialect has it.
    std::string text_of(walwire::lsn at) const;
    // Data came, and this is how far it goes.
    void received(std::size_t size, walwire::lsn position);

  private:
    virtual void identified(const walwire::replica::system_identified&) {}
    // Answers with place() or place_anew().
    virtual void place(const walwire::replica::placement_wanted& wanted) = 0;
    virtual void keep_history(const walwire::replica::history_read& history) = 0;
    virtual void keep_wal(const walwire::replica::wal_data&) {}
    virtual void keep_entries(const walwire::replica::entry_data&) {}
    virtual void stream_began(const walwire::replica::following&) {}
    virtual void timeline_ended(const walwire::replica::timeline_ended&) {}
    virtual void connection_ended() {}
    // Once for each read, while it follows: what came is handed to the system, and what is durable
    // reported. `asked`: the server waits for a report of all that it sent.
    virtual void settle(bool asked) = 0;
    // By when to settle again, if nothing comes.
    virtual std::int64_t settle_by() const { return walwire::never; }
    // Somebody asked to stop, and the server can be told a last time what is durable.
    virtual void before_stop() {}
    // It is over, and what came is to be durable.
    virtual void finish() = 0;

    void follow();
    walwire::bytes exchange();
    void show();
    void interrupt();
    // What woke us was a signal. It ends the work, and is nothing to complain about.
    void interrupted_by_signal();
    bool end_reached() const noexcept { return given_.end && position_ >= *given_.end; }
    // "host:port, at 0/5A1C000: "
    std::string where() const;
    void begin_session();
    void end_session(bool well);
    std::string explain(const walwire::replica::cause& why) const;
    void count_positions();
    // A write that fails is told once, and tried again.
    void write_metrics();
    void put_metrics();
    std::int64_t machine_timeout() const { return line_.options().first.connect_timeout; }
    template <class Step>
    void on_connection(Step&& step);

    void heard(const walwire::replica::connect_wanted&);
    void heard(const walwire::replica::disconnect_wanted&);
    void heard(const walwire::replica::tls_accepted& accepted);
    void heard(const walwire::replica::gss_accepted&) {
        machine_.disconnected();
    } // never asked for
    void heard(const walwire::replica::password_wanted&) { line_.give_password(machine_); }
    void heard(const walwire::replica::system_identified& system);
    void heard(const walwire::replica::placement_wanted& wanted);
    void heard(const walwire::replica::history_read& history) { keep_history(history); }
    void heard(const walwire::replica::following& stream);
    void heard(const walwire::replica::wal_data& run) { keep_wal(run); }
    void heard(const walwire::replica::entry_data& run) { keep_entries(run); }
    void heard(const walwire::replica::timeline_ended& ended);
    void heard(const walwire::replica::primary_keepalive& alive) { asked(alive.reply_requested); }
    void heard(const walwire::replica::entry_keepalive& alive) { asked(alive.reply_requested); }
    void heard(const walwire::replica::primary_status&) {}
    void heard(const walwire::replica::parameter_status&) {}
    void heard(const walwire::replica::server_error& error);
    void heard(const walwire::replica::notice& notice);
    void heard(const walwire::replica::retrying& retry);
    void heard(const walwire::replica::stopped&) { end_session(true); }
    void heard(const walwire::replica::given_up& end);
    // A server that shuts down asks, and waits until all that it sent is durable here.
    void asked(bool reply_requested) {
        if (reply_requested && followed_) settle(true);
    }

    const receive_arguments& given_;
    link line_;
    signals signals_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    walwire::replica::wal_receiver machine_;
    walwire::replica::metrics metrics_;
    progress progress_;
    walwire::lsn position_;
    walwire::lsn applied_; // as the last status had it
    std::uint64_t received_ = 0;
    std::uint64_t reconnects_ = 0;
    std::uint64_t statuses_ = 0; // of the machine's, those that are counted
    std::int64_t next_metrics_ = walwire::never;
    bool metrics_failing_ = false;
    bool in_session_ = false;
    bool followed_ = false;
    bool stopping_ = false;
    std::string lost_;        // what the system said when the connection broke
    std::string server_said_; // the last error of the server's
    std::string identifier_;  // of the system, to be shown
    std::string verdict_;
};

} // namespace posix
