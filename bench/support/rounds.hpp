// Measures several ways to do the same work in alternation, and prints what came out.
//
// A machine is never quite at rest: a figure taken now and another taken a minute later differ for
// reasons that are nobody's. So every round runs every contestant once, in one order and then in
// the other; a ratio is the median of the ratios within the rounds, and a figure the median over
// them. Nothing here decides whether a figure is good enough: the target stands beside it for the
// reader, as a machine that is busy or old proves nothing against the code.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace bench {

// Nanoseconds of one of the system's clocks: CLOCK_MONOTONIC for what takes time by itself,
// CLOCK_THREAD_CPUTIME_ID for what waits in between.
inline double reading(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Adds up what passes between start and stop.
class stopwatch {
  public:
    explicit stopwatch(clockid_t clock) : clock_(clock) {}

    void start() { since_ = reading(clock_); }
    void stop() { passed_ += reading(clock_) - since_; }
    double passed() const { return passed_; }

  private:
    clockid_t clock_;
    double since_ = 0;
    double passed_ = 0;
};

// Does all of the work once, and says what one unit of it cost.
struct contestant {
    std::string name;
    std::function<double()> run;
};

inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

class results {
  public:
    results(const std::vector<contestant>& contestants, std::size_t rounds)
        : values_(contestants.size()) {
        for (const contestant& each : contestants) {
            names_.push_back(each.name);
            each.run();
        }
        for (std::size_t round = 0; round < rounds; ++round) {
            for (std::size_t i = 0; i < contestants.size(); ++i) {
                const std::size_t next = round % 2 == 0 ? i : contestants.size() - 1 - i;
                values_[next].push_back(contestants[next].run());
            }
        }
    }

    double figure(const std::string& name) const { return median(values_[index(name)]); }
    double ratio(const std::string& name, const std::string& to) const {
        const std::vector<double>& above = values_[index(name)];
        const std::vector<double>& below = values_[index(to)];
        std::vector<double> ratios;
        for (std::size_t i = 0; i < above.size(); ++i) ratios.push_back(above[i] / below[i]);
        return median(ratios);
    }

    void print(const char* title, const char* unit) const {
        std::printf("\n%s, %s\n", title, unit);
        for (const std::string& name : names_)
            std::printf("    %-36s %8.3f\n", name.c_str(), figure(name));
    }
    // In two units, the second of which is `factor` times the first.
    void print(const char* title, const char* unit, double factor, const char* second) const {
        std::printf("\n%s, %s and %s\n", title, unit, second);
        for (const std::string& name : names_)
            std::printf("    %-36s %8.3f %12.1f\n", name.c_str(), figure(name),
                        figure(name) * factor);
    }
    // One contestant beside another, or by itself, and what it should be at most.
    void compare(const std::string& name, const std::string& to) const {
        std::printf("  %-38s %8.3f\n", (name + " / " + to).c_str(), ratio(name, to));
        std::fflush(stdout);
    }
    void compare(const std::string& name, const std::string& to, double target) const {
        compare_line(name + " / " + to, ratio(name, to), target);
    }
    void compare(const std::string& name, double target) const {
        compare_line(name, figure(name), target);
    }

  private:
    static void compare_line(const std::string& what, double found, double target) {
        std::printf("  %-38s %8.3f   target %.2f%s\n", what.c_str(), found, target,
                    found > target ? "   OVER" : "");
        std::fflush(stdout);
    }
    std::size_t index(const std::string& name) const {
        const auto found = std::find(names_.begin(), names_.end(), name);
        return static_cast<std::size_t>(found - names_.begin());
    }

    std::vector<std::string> names_;
    std::vector<std::vector<double>> values_; // by contestant, then by round
};

// A value that the compiler must believe is used, and memory that it must believe is changed.
template <class Value>
void keep(const Value& value) {
    asm volatile("" : : "r"(&value) : "memory");
}

} // namespace bench
