#!/usr/bin/env python3
"""The guard of the schemas' history: what a past version's readers or writers could not bear is refused, by name."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENUM = {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}
OLD = [{"name": "id", "type": "string"}, {"name": "n", "type": "int"}, {"name": "c", "type": ENUM}]


def record(fields):
    return {"type": "record", "name": "Thing", "namespace": "holdfast", "fields": fields}


def codegen(command, folder, *more):
    return subprocess.run([sys.executable, ROOT + "/scripts/codegen", command, folder, *more], capture_output=True, text=True)


def check(new, old=OLD, release=False):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/history")
        json.dump(record(old), open(folder + "/history/Thing.1.avsc", "w"))
        json.dump(record(new), open(folder + "/Thing.avsc", "w"))
        return codegen("release" if release else "check", folder)


CASES = [
    ("nothing changed", OLD, None),
    ("a field without a default", OLD + [{"name": "x", "type": "int"}], "Thing.x: is new and has no default"),
    ("a field whose type changed", [OLD[0], {"name": "n", "type": "string"}, OLD[2]], 'Thing.n: was "int", is "string"'),
    ("a long that was an int", [OLD[0], {"name": "n", "type": "long"}, OLD[2]], "not in history"),
    ("a symbol that is gone", OLD[:2] + [{"name": "c", "type": {"type": "enum", "name": "Color", "symbols": ["RED"]}}], "the symbols BLUE are gone"),
    ("a scalar that became an array", [OLD[0], {"name": "n", "type": {"type": "array", "items": "int"}}, OLD[2]], "Thing.n"),
    ("a field with a default, not released", OLD + [{"name": "x", "type": "int", "default": 0}], "not in history"),
    ("a union", OLD + [{"name": "x", "type": ["null", "int"], "default": None}], "not supported"),
    ("recursion", OLD + [{"name": "x", "type": {"type": "array", "items": "holdfast.Thing"}, "default": []}], "contains itself|unknown type"),
]

failures = 0
for name, fields, expected in CASES:
    result = check(fields)
    if expected is None:
        good = result.returncode == 0
    else:
        good = result.returncode != 0 and any(part in result.stderr for part in expected.split("|"))
    if name == "recursion" and result.returncode == 0:
        good = False
    if not good:
        failures += 1
        print("FAILED: %s: expected %s, got %d %s" % (name, expected, result.returncode, result.stderr))
if check(OLD + [{"name": "x", "type": "int"}], release=True).returncode == 0:
    failures += 1
    print("FAILED: an incompatible change was released")
if check(OLD + [{"name": "x", "type": "int", "default": 0}], release=True).returncode != 0:
    failures += 1
    print("FAILED: a compatible change was not released")
print("%d cases, %d failures" % (len(CASES) + 2, failures))
sys.exit(1 if failures else 0)
