"""Writes ranks.csv: tau-b and rho of random tables, computed by scipy on exact fractions.

A table has architectures with one to three seeds in A and in B, and counts of correct
images that are often equal. levels_test.go makes the same tables.

    python ranks.py > ranks.csv     # made with scipy 1.17.1
"""

from fractions import Fraction

from scipy.stats import kendalltau, rankdata, spearmanr


class Draw:
    """A linear congruential generator (Knuth's MMIX)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


def table(draw):
    images = [450, 1797, 3000, 6000, 10000, 25000, 151700][draw.below(7)]
    spread = 2 + draw.below(6)
    base = draw.below(images - spread)
    sides = [[], []]
    for _ in range(5 + draw.below(40)):
        for means in sides:
            counts = [base + draw.below(spread) for _ in range(1 + draw.below(3))]
            means.append(Fraction(sum(counts), len(counts)))
    return sides


draw = Draw(201)
for _ in range(1000):
    a, b = ([sorted(set(means)).index(v) for v in means] for means in table(draw))
    if len(set(a)) > 1 and len(set(b)) > 1:
        print(f"{kendalltau(a, b).statistic:.12f},{spearmanr(rankdata(a), rankdata(b)).statistic:.12f}")
    else:
        print("nan,nan")
