// The main program of every unit test. A run whose filter finds no test case fails: a file that is
// renamed, or whose tests are all compiled out, must not look like one that passes.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

namespace {

unsigned found = 0;

struct count_tests : doctest::IReporter {
    explicit count_tests(const doctest::ContextOptions&) {}
    void report_query(const doctest::QueryData&) override { found = 1; } // a listing is no run
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats& run) override {
        found = run.numTestCasesPassingFilters;
    }
    void test_case_start(const doctest::TestCaseData&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}
};

REGISTER_LISTENER("count_tests", 1, count_tests);

} // namespace

int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    const int status = context.run();
    if (found == 0) {
        std::fputs("no test case was run\n", stderr);
        return 1;
    }
    return status;
}
