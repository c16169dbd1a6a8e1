#!/usr/bin/env python3
"""The topic files say what the filters declare: every topic has a file, and its writers and readers are the ones who do."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / os.environ.get("HOLDFAST_BIN", "build/bin")
sys.path.insert(0, str(ROOT / "tests/lib"))
from described import described as filters_of

filters = filters_of(BIN)
problems = []
topics = {}
for path in sorted((ROOT / "topics").glob("*.topic")):
    lines = [line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith(";")]
    topics[path.stem] = {name.strip(): value.strip() for name, value in lines}
for name, topic in topics.items():
    for field in ("partitions", "cleanup.policy", "key", "records", "writers", "readers"):
        if field not in topic:
            problems.append("%s.topic has no %s" % (name, field))

writers, readers = {}, {}
for filter_, described in filters.items():
    readers.setdefault(described["input"], set()).add(filter_)
    for output in described["outputs"]:
        writers.setdefault(output["topic"], set()).add(filter_)
        if output["table"] != (topics.get(output["topic"], {}).get("cleanup.policy") == "compact"):
            problems.append("%s is a table for %s, or compacted, but not both" % (output["topic"], filter_))
    if described["changelog"] and described["changelog"] != described["input"]:
        writers.setdefault(described["changelog"], set()).add(filter_)
        readers.setdefault(described["changelog"], set()).add(filter_)
    if described.get("routes"):
        writers.setdefault("view-owners", set()).add(filter_)
        readers.setdefault("view-owners", set()).add(filter_)
    accepted = set(topics.get(described["input"], {}).get("records", "").split(", "))
    if accepted != set(described["accepts"]):
        problems.append("%s.topic and %s differ in records: %s" % (described["input"], filter_, sorted(accepted ^ set(described["accepts"]))))

writers.setdefault("dead-letters", set()).add("reserve-requested")
for name in sorted(set(topics) | set(writers) | set(readers)):
    if name not in topics:
        problems.append("the topic %s has no file" % name)
        continue
    for role, declared in (("writers", writers), ("readers", readers)):
        said = set(topics[name].get(role, "").split(", ")) - {"anybody", "operators"}
        if said != declared.get(name, set()):
            problems.append("%s.topic says %s %s, the filters say %s" % (name, role, sorted(said), sorted(declared.get(name, set()))))
for problem in problems:
    print("FAILED: " + problem)
print("%d topics, %d filters, %d problems" % (len(topics), len(filters), len(problems)))
sys.exit(1 if problems else 0)
