// The main program of a fuzz target in builds without a fuzzer: it runs every file of the folders
// that it is given, and the empty input. So each target is compiled, linked and run by every
// compiler, and what a fuzzer once found stays found.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::filesystem::path> files_under(const char* folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

void run(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
    // An array of exactly this size, so that a sanitizer sees the first byte past it.
    const auto exact = std::make_unique<std::uint8_t[]>(content.size());
    std::copy(content.begin(), content.end(), exact.get());
    LLVMFuzzerTestOneInput(exact.get(), content.size());
}

} // namespace

int main(int argc, char** argv) {
    std::size_t count = 0;
    try {
        for (int i = 1; i < argc; ++i) {
            for (const auto& path : files_under(argv[i])) {
                std::printf("%s\n", path.c_str()); // the last line names the file that crashed
                std::fflush(stdout);
                run(path);
                ++count;
            }
        }
    } catch (const std::exception& wrong) {
        std::fprintf(stderr, "%s\n", wrong.what());
        return 1;
    }
    LLVMFuzzerTestOneInput(nullptr, 0);
    std::printf("%zu files\n", count);
    return count == 0 ? 1 : 0;
}
