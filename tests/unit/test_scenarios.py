#!/usr/bin/env python3
"""Every row of tests/scenarios/README.md is shown by what it names: an id stands in a comment of a script or in the name of a test on the broker, and a
test that is named is there."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ID = re.compile(r"\b[BCMNOS]\d+\b")


def tests_of(folder, pattern):
    return " ".join(name for path in sorted((ROOT / "tests" / folder).glob(pattern)) for name in re.findall(r"(?:def |static void )(\w+)\(", path.read_text()))


def main():
    table = (ROOT / "tests/scenarios/README.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    broker_tests, unit_tests = tests_of("kafka", "*.py"), tests_of("unit", "*.c") + tests_of("unit", "*.py") + (ROOT / "tests/unit/test_new.py").read_text()
    comments = {path.stem: " ".join(line for line in path.read_text().splitlines() if line.startswith("#")) for path in (ROOT / "tests/scenarios").glob("*.jsonl")}
    shown = set(ID.findall(" ".join(comments.values()))) | set(ID.findall(broker_tests.replace("_", " ")))
    wrong, ids = [], []
    for first, *rest in rows:
        names = [name for cell in rest for name in re.findall(r"`(\w+?)_?(?:\.\.\.)?`", cell)]
        wrong += ["no test is called %s" % name for name in names if "_" in name and name not in broker_tests + " " + unit_tests]
        if ID.match(first):
            ids += ID.findall(first)
            by_other_means = "make schema-check" in rest[-1]
            wrong += ["nothing shows %s" % one for one in ID.findall(first) if one not in shown and not by_other_means]
    assert len(ids) == len(set(ids)) > 50, ids
    assert not wrong, "\n".join(wrong)
    print("%d ids, each shown" % len(ids))


if __name__ == "__main__":
    sys.exit(main())
