// replica::wal_receiver and primary::session in AionDB's dialect over a link, and whatever happens
// to the three.
//
// The input is a list of events, a byte each and a second one that says how much: entries are
// written, the link is cut at a byte, connections are refused, the primary is promoted or shuts
// down, the replica stops flushing, time passes. Properties: support/linked_aiondb.hpp's,
// throughout; and then, with an undisturbed link, the replica has every entry once and in order in
// ten minutes of their time, and stops when it is told to.
#include <cstdint>

#include "support/check.hpp"
#include "support/linked_aiondb.hpp"

using namespace walwire;

namespace {

support::linked_entries::choices choices_for(std::uint8_t choice) {
    support::linked_entries::choices made;
    made.slot = (choice & 1) != 0;
    made.report_each_flush = (choice & 2) != 0;
    made.seed = choice;
    constexpr std::size_t pieces[] = {8192, 1, 1000, 71};
    made.piece = pieces[choice >> 2 & 3];
    return made;
}

void happen(support::linked_entries& world, std::uint8_t what, std::size_t much) {
    switch (what % 12) {
    case 0:
        for (std::size_t i = 0; i < much % 64; ++i) world.here.write(1);
        break;
    case 1: world.here.write(1 + 100 * much); break;
    case 2: world.cut_after = much; break;
    case 3: world.cut_after = 10 * much; break;
    case 4: world.cut(); break;
    case 5: world.cut_cleanly = much % 2 != 0; break;
    case 6: world.here.promote(); break;
    case 7: world.shut_down(); break;
    case 8: world.accepts = much % 2 != 0; break;
    case 9: world.flushes = much % 2 != 0; break;
    case 10: world.apply(); break;
    default: world.wait(static_cast<std::int64_t>(much) * second); break;
    }
    world.run();
    check(world.wrong().empty(), world.wrong().c_str());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2 || size > 64) return 0;
    support::linked_entries world(choices_for(data[0]));
    world.here.batch_entries = 1 + data[1] % 16;
    for (unsigned i = 0; i < data[1] / 16u; ++i) world.here.write(1 + i % 3);
    for (std::size_t i = 2; i + 1 < size; i += 2) happen(world, data[i], data[i + 1]);
    const bool settled = world.settled(10 * 60 * second);
    check(world.wrong().empty(), world.wrong().c_str());
    check(settled, "the replica comes to the primary's end");
    check(world.received() == world.here.log, "and has every entry once");
    check(world.stopped(), "and stops");
    check(world.wrong().empty(), world.wrong().c_str());
    return 0;
}
