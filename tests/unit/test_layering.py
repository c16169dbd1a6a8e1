#!/usr/bin/python3
"""The build refuses an include that a room's rule forbids, and takes what the rules allow."""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."

# file, include, part of the refusal (None: it is allowed)
CASES = [
    ("processors/payment/payment.c", "<librdkafka/rdkafka.h>", "librdkafka belongs to runtime/kafka"),
    ("processors/runtime/core/commit.c", "<librdkafka/rdkafka.h>", "librdkafka belongs to runtime/kafka"),
    ("processors/runtime/kafka/log.c", "<rocksdb/c.h>", "RocksDB belongs to runtime/store"),
    ("processors/runtime/core/context.c", "<avro.h>", "avro-c belongs to runtime/record"),
    ("processors/runtime/core/loop.c", "<sys/socket.h>", "sockets belongs to runtime/http"),
    ("processors/charge/provider.c", "<curl/curl.h>", "sockets belongs to runtime/http"),
    ("processors/payment/payment.c", '"runtime/store/store.h"', "a filter includes"),
    ("processors/payment/payment.c", '"stock-check/stock-check.h"', "a filter knows no other"),
    ("processors/runtime/base/arena.h", '"runtime/record/codec.h"', "the room base may include"),
    ("processors/runtime/core/commit.c", '"runtime/kafka/admin.h"', "the room core may include"),
    ("processors/runtime/core/commit.c", '"payment/payment.h"', "the runtime knows no filter"),
    ("processors/payment/payment.c", '"runtime/contract/view.h"', None),
    ("processors/runtime/http/server.c", '"runtime/core/runtime.h"', None),
    ("processors/holdfast/audit.c", '"runtime/kafka/io.h"', None),
]


def refusals(root):
    return subprocess.run([ROOT + "/scripts/layering", "includes", root], capture_output=True, text=True)


def with_include(root, path, include):
    """What the check says of the project with one include more."""
    file = os.path.join(root, path)
    before = open(file).read()
    open(file, "w").write("#include %s\n" % include + before)
    run = refusals(root)
    open(file, "w").write(before)
    return run


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(ROOT + "/processors", root + "/processors")
        if refusals(root).returncode:
            sys.exit("the project itself is refused")
        for path, include, expected in CASES:
            run = with_include(root, path, include)
            right = run.returncode != 0 and expected in run.stderr if expected else run.returncode == 0
            if not right:
                print("%s with %s: expected %s, got %d: %s" % (path, include, expected or "no refusal", run.returncode, run.stderr))
                failed += 1
        table = root + "/processors/runtime/README.md"
        text = open(table).read()
        open(table, "w").write(text.replace("| base, record |", "| base, record, http |"))
        if "does not stand above it" not in refusals(root).stderr:
            print("an arrow that points down the table is taken")
            failed += 1
    print("%d cases, %d failed" % (len(CASES) + 1, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
