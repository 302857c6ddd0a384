"""How the benchmarks that are scripts measure and print: as support/rounds.hpp does it."""
import statistics


def alternate(contestants, rounds):
    """What each contestant's runs came to, by name: every round runs all of them, in one order and
    then in the other. A first round warms up and does not count."""
    found = {name: [] for name in contestants}
    for number in range(rounds + 1):
        order = list(contestants) if number % 2 else list(reversed(contestants))
        for name in order:
            value = contestants[name]()
            if number > 0:
                found[name].append(value)
    return found


def median_ratio(above, below):
    """Of the ratios within the rounds."""
    return statistics.median(one / other for one, other in zip(above, below))


def line(what, found, target=None, digits=3):
    text = '  %-38s %8.*f' % (what, digits, found)
    if target is not None:
        text += '   target %.2f%s' % (target, '   OVER' if found > target else '')
    print(text, flush=True)
