// One line on a terminal that says how far things are:
//
//     0/5A1C000 timeline 2, 1.4 GiB, 212.7 MiB/s, 1 reconnect       of a stream
//     42% of 3.4 GiB, 212.7 MiB/s, 0:09 left                        of a backup
//
// It is rewritten in place at most five times a second and never written where nobody watches: when
// the descriptor is no terminal every call does nothing. The rate is that of the last two seconds.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include <walwire/lsn.hpp>
#include <walwire/time.hpp>

namespace posix {

struct progress_figures {
    walwire::lsn position;
    walwire::timeline_id timeline;
    std::uint64_t bytes = 0; // received since the program began
    std::uint64_t reconnects = 0;
};

struct backup_figures {
    const char* waiting = nullptr; // for what, while nothing moves
    std::uint64_t bytes = 0;       // of the archives, before compression
    std::uint64_t total = 0;       // the server's estimate; 0: it made none
};

// "512 B", "3.4 KiB", "1.0 GiB"
inline std::string size_text(double bytes) {
    constexpr std::array<const char*, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::size_t unit = 0;
    for (; bytes >= 1023.95 && unit + 1 < units.size(); ++unit) bytes /= 1024;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text.data();
}

inline std::string progress_text(const progress_figures& figures, double bytes_per_second) {
    if (!figures.position.valid()) return "waiting for the server";
    std::string text(std::string_view(walwire::to_text(figures.position)));
    text += " timeline " + std::to_string(figures.timeline.value) + ", " +
            size_text(static_cast<double>(figures.bytes)) + ", " + size_text(bytes_per_second) +
            "/s";
    if (figures.reconnects > 0)
        text += ", " + std::to_string(figures.reconnects) +
                (figures.reconnects == 1 ? " reconnect" : " reconnects");
    return text;
}

// "0:09", "12:30", "3:07:00"
inline std::string time_text(double seconds) {
    if (!(seconds < 1e6)) return "days";
    const auto whole = static_cast<unsigned>(seconds + 0.5);
    std::array<char, 32> text{};
    if (whole < 3600)
        std::snprintf(text.data(), text.size(), "%u:%02u", whole / 60, whole % 60);
    else
        std::snprintf(text.data(), text.size(), "%u:%02u:%02u", whole / 3600, whole / 60 % 60,
                      whole % 60);
    return text.data();
}

// The estimate was made at the beginning, and databases grow: it is never all before the end.
inline std::string progress_text(const backup_figures& figures, double bytes_per_second) {
    if (figures.waiting != nullptr) return std::string("waiting for ") + figures.waiting;
    const double done = static_cast<double>(figures.bytes);
    const double total = static_cast<double>(figures.total);
    std::string text;
    if (figures.total > 0) {
        const double share = done < total * 0.99 ? 100 * done / total : 99;
        text = std::to_string(static_cast<int>(share)) + "% of " + size_text(total);
    } else {
        text = size_text(done);
    }
    text += ", " + size_text(bytes_per_second) + "/s";
    if (done < total && bytes_per_second > 0)
        text += ", " + time_text((total - done) / bytes_per_second) + " left";
    return text;
}

class progress {
  public:
    static constexpr std::int64_t interval = 200 * walwire::millisecond;

    explicit progress(int terminal = STDERR_FILENO) noexcept
        : terminal_(terminal >= 0 && ::isatty(terminal) == 1 ? terminal : -1) {}
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;
    ~progress() {
        if (shown_) put("\n");
    }

    // Call it as often as you like, with a reading of the steady clock.
    void show(const progress_figures& figures, std::int64_t now) { show_any(figures, now); }
    void show(const backup_figures& figures, std::int64_t now) { show_any(figures, now); }

    // When to call show again though nothing has come: until the rate has gone down to zero.
    std::int64_t deadline() const noexcept {
        return terminal_ >= 0 && rate_ > 0 ? next_ : walwire::never;
    }

    // Makes room for a message. The line comes back with the next show.
    void clear() {
        if (shown_) put("\r\x1b[K");
        shown_ = false;
    }

  private:
    struct sample {
        std::int64_t at = 0;
        std::uint64_t bytes = 0;
    };

    template <class Figures>
    void show_any(const Figures& figures, std::int64_t now) {
        if (terminal_ < 0 || now < next_) return;
        next_ = walwire::later(now, interval);
        const sample oldest =
            count_ < samples_.size() ? samples_[0] : samples_[count_ % samples_.size()];
        const double seconds =
            static_cast<double>(now - oldest.at) / static_cast<double>(walwire::second);
        const bool known = count_ > 0 && now > oldest.at && figures.bytes >= oldest.bytes;
        rate_ = known ? static_cast<double>(figures.bytes - oldest.bytes) / seconds : 0;
        samples_[count_++ % samples_.size()] = {now, figures.bytes};

        std::string text = progress_text(figures, rate_);
        winsize size{};
        if (::ioctl(terminal_, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 &&
            text.size() >= size.ws_col)
            text.resize(size.ws_col - 1u); // one that wraps could not be rewritten
        put("\r" + text + "\x1b[K");
        shown_ = true;
    }

    // A terminal that is gone is no reason to stop.
    void put(const std::string& text) const noexcept {
        [[maybe_unused]] const ssize_t size = ::write(terminal_, text.data(), text.size());
    }

    int terminal_;
    bool shown_ = false;
    std::int64_t next_ = INT64_MIN;
    double rate_ = 0;
    std::size_t count_ = 0;
    std::array<sample, 10> samples_{};
};

} // namespace posix
