#!/usr/bin/env python3
"""make new, and the guide of docs/new-filter.md word for word: in a copy of the tree the new filter is built, its test passes, and what it is
made of crosses no layer. It runs with the others, and nothing that exists is changed by it (N16, N17)."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(tree, *command):
    environment = {**os.environ, "CLANG_FORMAT": str(ROOT / "build/venv/bin/clang-format")}  # the copy has no venv
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, "%s:\n%s%s" % (" ".join(command), result.stdout[-4000:], result.stderr[-4000:])
    return result.stdout


BUILT = {"bin", "filters", "gen", "processors", "tests"}  # by the ordinary build


def left_out(folder, names):
    """Of the copy: history, and whatever else lies in build, as roots with devices whose reading never ends."""
    if folder == str(ROOT / "build"):
        return set(names) - BUILT
    return {".git"} & set(names) if folder == str(ROOT) else set()


def copy_tree(folder):
    """With what is built: only what depends on the new filter is built again."""
    tree = pathlib.Path(folder) / "tree"
    shutil.copytree(ROOT, tree, ignore=left_out, symlinks=True)
    return tree


def build(tree, name):
    run(tree, "make", "-s", "format", "schema-release")
    run(tree, "make", "-s", "-j2", "build/bin/" + name, "build/bin/holdfast", "build/tests/test_" + name)
    run(tree, "build/tests/test_" + name)
    run(tree, "scripts/layering", "includes")
    run(tree, "scripts/layering", "calls", "build", name)
    assert '"%s"' % name in run(tree, "build/bin/" + name, "--describe")


def play(tree, *flags):
    """The book's script through the whole pipeline in one process: what came out."""
    lines = run(tree, "build/bin/holdfast", "run", "--local", "--linger", "0", *flags, "tests/scenarios/book.jsonl").splitlines()
    return [json.loads(line) for line in lines]


def outcomes(tree):
    """Without the time of the opening, which is another in each run."""
    values = [line["value"] for line in play(tree) if line["topic"] == "reservation-outcomes"]
    return [{name: value for name, value in outcome.items() if name != "opened_at"} for outcome in values]


def main():
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(folder)
        again = subprocess.run(["scripts/new", "Bad Name"], cwd=tree, capture_output=True, text=True)
        assert again.returncode == 64 and "lower case" in again.stderr
        run(tree, "make", "-s", "new", "NAME=daily-count")
        assert subprocess.run(["scripts/new", "daily-count"], cwd=tree, capture_output=True).returncode == 73
        build(tree, "daily-count")
        run(tree, "make", "-s", "new", "NAME=waitlist")
        (tree / "avro/WaitlistCount.avsc").unlink()
        guide = (ROOT / "docs/new-filter.md").read_text()
        files = re.findall(r"^File `([^`]+)`\n\n```\w*\n(.*?)^```$", guide, re.S | re.M)
        assert len(files) >= 9
        for path, text in files:
            (tree / path).write_text(text)
        build(tree, "waitlist")
        assert outcomes(tree) == outcomes(ROOT)
        offers = [line["value"] for line in play(tree, "--all") if line["topic"] == "waitlist-offers"]
        assert [(offer["item_id"], offer["customer_id"]) for offer in offers] == [("book-1", "han")]
        print("two new filters, built, tested, and run with the others, which do as they did without them")


if __name__ == "__main__":
    sys.exit(main())
