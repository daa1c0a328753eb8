"""compare.py DIR: unpickle DIR/0, DIR/1, ... and compare each with its expression in DIR/expressions."""
import pickle
import sys
from collections import OrderedDict  # for the expressions


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return a == b


directory = sys.argv[1]
with open(directory + "/expressions", encoding="utf-8") as f:
    expressions = f.read().split("\0")
for number, expression in enumerate(expressions):
    with open("%s/%d" % (directory, number), "rb") as f:
        got = pickle.load(f)
    if not same(got, eval(expression)):
        sys.exit("value %d is %r, not %s" % (number, got, expression))
print(len(expressions), "equal")
