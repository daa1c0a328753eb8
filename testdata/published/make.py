"""Derives meta_archs.txt.gz and client_views.json from the published meta file.

usage: python make.py META.pickle.pbz2   (pip install nats-bench==1.8 numpy)
"""
import bz2, gzip, hashlib, json, pathlib, pickle, sys

from nats_bench import NATStopology as api
from nats_bench.genotype_utils import topology_str2structure

archs = pickle.load(bz2.open(sys.argv[1]))["meta_archs"]
here = pathlib.Path(__file__).parent
(here / "meta_archs.txt.gz").write_bytes(gzip.compress("\n".join(archs).encode(), mtime=0))


def sha256(view):
    return hashlib.sha256("\n".join(map(view, archs)).encode()).hexdigest()


views = {
    "str2lists": sha256(lambda a: " ".join("%s~%d" % x for node in api.str2lists(a) for x in node)),
    "str2matrix": sha256(lambda a: " ".join("%d" % x for x in api.str2matrix(a).flat)),
    "to_unique_str": sha256(lambda a: topology_str2structure(a).to_unique_str(consider_zero=True)),
    "classes": len({topology_str2structure(a).to_unique_str(consider_zero=True) for a in archs}),
}
(here / "client_views.json").write_text(json.dumps(views, indent=1) + "\n")
