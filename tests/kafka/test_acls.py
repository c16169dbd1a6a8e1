"""The ACLs that a pipeline needs are those that its declarations say, each of them, and no more."""
import json
import os
import shutil
import signal
import subprocess

import pytest
from access import grant, revoke
from confluent_kafka.admin import AclPermissionType
from conftest import BIN, DESCRIBED, FILTERS, ROOT, VIEWS, tell, wait_until
from secure import book, broker, newest_library, pipeline, reserve, settle  # noqa: F401

LONG = os.environ.get("ACLS") == "all"


def holdfast(*arguments):
    return subprocess.run([BIN / "holdfast", *arguments], capture_output=True, text=True, timeout=60)


# ---- what is printed ----

def test_a_list_needs_no_broker_and_says_what_each_declaration_says():
    listed = json.loads(holdfast("acls", "list", "-o", "json", "--prefix", "p-", *FILTERS).stdout)
    said = [{"principal": "User:p-" + name, **right, "name": "p-" + right["name"]} for name, filter_ in DESCRIBED.items() for right in filter_["rights"]]
    key = lambda right: sorted(right.items())
    assert sorted(listed, key=key) == sorted(said, key=key)
    may_write = {right["name"] for right in DESCRIBED["payment"]["rights"] if right["operation"] == "Write"}
    assert may_write == {"charge-requests", "deadlines", "payment-results", "payment-changelog", "payment-"}


def test_a_list_reads_well_and_names_can_be_chosen():
    text = holdfast("acls", "list", "--principal", "User:CN={},O=Example", "deadline").stdout
    assert text.splitlines() == ["User:CN=deadline,O=Example", "  Read             topic            deadlines", "  DescribeConfigs  topic            deadlines",
                                 "  Write            topic            payment-requests", "  Read             topic            deadline-changelog",
                                 "  Write            topic            deadline-changelog", "  DescribeConfigs  topic            deadline-changelog",
                                 "  Read             group            deadline", "  Write            transactional id deadline-*"]


@pytest.mark.parametrize("arguments,text", [(["acls"], "say list, plan, apply or verify"), (["acls", "grant"], "say list, plan, apply or verify"),
                                            (["acls", "list", "nobody"], "there is no process 'nobody'"), (["acls", "list", "-o", "xml"], "text, json or kafka-acls")])
def test_a_wrong_command_line_is_told(arguments, text):
    refused = holdfast(*arguments)
    assert refused.returncode == 64 and text in refused.stderr


# ---- plan, apply, verify ----

def acls(pipeline, *arguments, environment=None):
    command = [BIN / "holdfast", "acls", *arguments, "-b", pipeline.broker.address, "--prefix", pipeline.prefix, *pipeline.identity("acls"), "--principal", "User:{}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)


def test_what_is_missing_is_planned_applied_and_verified_and_what_is_too_much_is_told(pipeline):
    needed = pipeline.rights("payment")
    plan = acls(pipeline, "plan", "payment")
    assert plan.returncode == 0 and "%d rights are missing" % len(needed) in plan.stdout
    assert "+ User:payment: Write on transactional id %spayment-*" % pipeline.prefix in plan.stdout
    assert acls(pipeline, "verify", "payment").returncode == 1
    applied = acls(pipeline, "apply", "payment")
    if applied.returncode != 0:  # librdkafka before 2.4
        assert applied.returncode == 78 and "which librdkafka 2.0.2 cannot grant" in applied.stderr
        tool = "%s/scripts/kafka tool acls --bootstrap-server %s --command-config %s" % (ROOT, pipeline.broker.address, pipeline.broker.file("admin-jvm.properties"))
        lines = applied.stdout[applied.stdout.index(": \"${KAFKA_ACLS"):]
        assert lines.count("--add") == 1
        subprocess.run(["sh", "-e"], input=lines, env={**os.environ, "KAFKA_ACLS": tool}, check=True, capture_output=True, text=True, timeout=90)
    assert "nothing to do" in acls(pipeline, "plan", "payment").stdout
    verified = acls(pipeline, "verify", "payment")
    assert verified.returncode == 0, verified.stdout
    admin = pipeline.broker.admin()
    more = {**needed[0], "operation": "All"}
    grant(admin, [more, {**needed[0], "principal": "User:crm", "operation": "Read"}])
    told = acls(pipeline, "verify", "payment")
    assert told.returncode == 1 and "? User:payment: All on topic" in told.stdout and "more than it needs" in told.stdout
    assert "? User:crm: Read on topic" in told.stdout and "no process of the pipeline" in told.stdout
    revoke(admin, [more])
    told = json.loads(acls(pipeline, "verify", "payment", "-o", "json").stdout)
    assert not told["missing"] and not told["more"] and [one["principal"] for one in told["others"]] == ["User:crm"]
    grant(admin, needed[:1], AclPermissionType.DENY)
    denied = acls(pipeline, "verify", "payment")
    assert denied.returncode == 1 and "denied, whatever else is allowed" in denied.stdout and "1 of them are missing" in denied.stdout
    revoke(admin, needed[:1], AclPermissionType.DENY)


@pytest.mark.skipif("thread" in str(BIN), reason="the library of the Python client is not built for ThreadSanitizer")
def test_a_newer_librdkafka_grants_all_of_it(pipeline, tmp_path):
    newest = {**os.environ, "LD_LIBRARY_PATH": str(newest_library(tmp_path))}
    applied = acls(pipeline, "apply", environment=newest)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    for environment in (newest, None):
        verified = acls(pipeline, "verify", environment=environment)
        assert verified.returncode == 0, verified.stdout


# ---- each one taken away ----

def kinds(name):
    """The rights of a filter by what they are for."""
    filter_ = DESCRIBED[name]
    for right in filter_["rights"]:
        topic = right["name"]
        role = "the owners of views" if topic == "view-owners" else "its input" if topic == filter_["input"] else "its changelog" if topic == filter_["changelog"] else "an output"
        yield right, "%s on %s" % (right["operation"], role if right["resource"] == "topic" else "its " + right["resource"])


# A right of these is missed only when there is something to write.
AT_WORK = ("Write on its changelog", "Write on the owners of views")


def rounds(names_at_start):
    """Of what is missed at a start: one right of each filter at a time, every filter in its own. In the short form only kinds that no filter before had."""
    left = {name: [(right, kind) for right, kind in kinds(name) if kind not in AT_WORK] for name in names_at_start}
    seen = set()
    while any(left.values()):
        taken = {}
        for name, rights in left.items():
            fresh = [one for one in rights if LONG or one[1] not in seen]
            if fresh:
                taken[name] = fresh[0]
                seen.add(fresh[0][1])
            left[name] = [one for one in rights if one in fresh[1:]]
        if taken:
            yield taken


def right_of(pipeline, name, right):
    return {"principal": "User:" + name, **right, "name": pipeline.prefix + right["name"]}


def says(pipeline, name, right):
    resource = pipeline.prefix + right["name"] + ("0" if right["pattern"] == "prefixed" else "")
    return "%s on %s '%s' is not allowed" % (right["operation"], right["resource"], resource)


def ends_and_says(pipeline, name, right):
    process = pipeline.filters[name, 0].process
    assert process.wait(timeout=90) == 78, "without %s %s ended with %s: %s" % (right, name, process.returncode, pipeline.filters[name, 0].text()[-2000:])
    last = pipeline.filters[name, 0].text().splitlines()[-1]
    assert says(pipeline, name, right) in last, (right, last)


def without_store(pipeline, name):
    shutil.rmtree(pipeline.stores / (name + "-0"), ignore_errors=True)


def work(number):
    """For every filter."""
    return reserve("acl-%s" % number, "acl"), reserve("due-%s" % number, "due")


def test_each_ACL_that_is_taken_away_ends_its_filter_with_78_and_nothing_half_done(pipeline):
    """A sample of each kind; ACLS=all takes each of them, of each filter."""
    admin, tried = pipeline.broker.admin(), 0
    pipeline.start_all()
    pipeline.send(book("acl", 100000, price=5, payment="AT_ONCE"), book("due", 100000, price=5, payment="BY_CUSTOMER", hold_seconds=2))
    pipeline.wait_item("due")
    pipeline.send(*work("first"))
    pipeline.wait_status("acl-first", "APPROVED")
    pipeline.wait_status("due-first", "FAILED", "EXPIRED")
    for taken in rounds(FILTERS):
        rights = [right_of(pipeline, name, right) for name, (right, _) in taken.items()]
        for name in taken:
            pipeline.filters[name, 0].end(signal.SIGKILL)
            without_store(pipeline, name)  # what a changelog is for
        revoke(admin, rights)
        pipeline.send(*work(tried))
        for name in taken:
            pipeline.start(name, wait=False)
        for name, (right, _) in taken.items():
            ends_and_says(pipeline, name, right)
        grant(admin, rights)
        pipeline.start(*taken)
        tried += len(taken)
    for name in FILTERS:
        at_work = [right for right, kind in kinds(name) if kind in AT_WORK]
        for right in at_work if LONG or name in ("payment", VIEWS[0]) else ():
            rights = [right_of(pipeline, name, right)]
            pipeline.filters[name, 0].end(signal.SIGKILL)
            revoke(admin, rights)
            pipeline.start(name, wait=False)
            pipeline.send(*work("at-work-%d" % tried))
            ends_and_says(pipeline, name, right)
            grant(admin, rights)
            pipeline.start(name)
            tried += 1
    settle(pipeline)
    pipeline.prove()
    tell("ACLs taken away: %d" % tried)


def test_an_ACL_that_is_taken_away_under_load_ends_its_filter_and_loses_nothing(pipeline):
    """While it works: the first, a record that it may not write; then a group that it may not be of; then its own transactions."""
    admin = pipeline.broker.admin()
    pipeline.start_all()
    pipeline.send(book("load", 100000))
    pipeline.wait_item("load")
    number = 0
    for name, kind in (("stock-check", "Write on an output"), ("payment", "Write on its changelog"), ("approved-failed", "Read on its group"),
                       ("payment", "Write on its transactional id"), ("history", "Read on its input")):
        right = next(right for right, what in kinds(name) if what == kind)
        rights, filter_ = [right_of(pipeline, name, right)], pipeline.filters[name, 0]
        revoke(admin, rights)

        def ended():
            nonlocal number
            number += 1
            pipeline.send(reserve("load-%d" % number, "load"))
            return filter_.process.poll() is not None
        wait_until(ended, "%s to end without %s" % (name, kind))
        ends_and_says(pipeline, name, right)
        grant(admin, rights)
        pipeline.start(name)
    settle(pipeline)
    assert pipeline.audit()["summary"]["reservations"] == number
    pipeline.prove()
