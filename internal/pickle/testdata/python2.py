# -*- coding: utf-8 -*-
"""python2.py DIR: with Python 2, write a value with each protocol and each pickler into DIR, for TestPython2.

The committed files were made by CPython 2.7.18."""
import collections
import cPickle
import pickle
import sys

value = {
    "str": "a\x00\xff'\"\n\\", "unicode": u"naïve ☃ \\u2603 \n", "long": 1 << 70, "int": -5, "big": 1 << 40, "bool": [True, False],
    "float": [0.1, float("inf"), -0.0], "none": None, ("tuple", 1): ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "set": {1}, "ordered": collections.OrderedDict([("b", 1), ("a", [])]), "dict": {},
}
value["again"] = [value["ordered"], value["ordered"]]
for name, module in ("c", cPickle), ("python", pickle):
    for protocol in range(3):
        with open("%s/%s-protocol%d.pickle" % (sys.argv[1], name, protocol), "wb") as f:
            module.dump(value, f, protocol)
