"""What cannot be processed is never lost, never blocks, and says what to do."""
import json
import re
import shutil
import signal
import subprocess

import confluent_kafka
import confluent_kafka.admin
import pytest
from conftest import BIN, FILTERS, ROOT, Broker, Filter, encode, wait_until


def produce(pipeline, topic, key, value, headers=()):
    producer = confluent_kafka.Producer({"bootstrap.servers": pipeline.broker.address, "partitioner": "murmur2_random", "message.max.bytes": 2000000})
    errors = []
    producer.produce(pipeline.prefix + topic, key=key, value=value, headers=list(headers), on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors == [None], errors


def book(item_id, capacity=5):
    return {"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "BOOK", "capacity": capacity, "payment": "NONE"}


def test_what_is_no_command_is_a_dead_letter_raw_and_the_pipeline_goes_on(shared):
    """Raw up to 64 KiB, with the length of what was longer."""
    bad = {b"not avro": "single-object encoding", b"\xc3\x01" + b"\x07" * 8 + b"x": "fingerprint 0707070707070707 is not known",
           b"\xc3\x01" + b"z" * 900000: "more than the limit", b"": "single-object"}
    for value in bad:
        produce(shared, "reservation-commands", b"k", value)
    shared.send(book("after"), {"type": "Reserve", "reservation_id": "after-1", "customer_id": "kim", "item_id": "after", "quantity": 1})
    shared.wait_status("after-1", "APPROVED")
    letters = shared.read("dead-letters")
    for value, reason in bad.items():
        found = [line for line in letters if reason in line["headers"]["error"] and line["value"] and line["value"].get("bytes") == value[:65536].hex()]
        assert found, reason
        assert found[0]["headers"]["causation"].startswith("reservation-commands-")
        assert found[0]["headers"].get("whole-value", "").startswith("%d bytes, sha256 " % len(value)) == (len(value) > 65536)


def encoded_reserve(reservation_id, item_id):
    return encode("Reserve", reservation_id=reservation_id, customer_id="kim", item_id=item_id, quantity=1)


def test_N15_a_trace_and_a_correlation_id_that_came_in_are_in_every_record_after_it(shared):
    """Through what waits too: the payment's answer, the end of a hold, a notice."""
    shared.send({**book("traced"), "price": 5, "payment": "AT_ONCE"}, {**book("traced-brief"), "price": 5, "payment": "BY_CUSTOMER", "hold_seconds": 2})
    for item_id in ("traced", "traced-brief"):
        shared.wait_item(item_id)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for reservation_id, item_id in (("traced-1", "traced"), ("traced-2", "traced-brief")):
        produce(shared, "reservation-commands", reservation_id.encode(), encoded_reserve(reservation_id, item_id),
                [("traceparent", trace.encode()), ("correlation-id", b"request-42")])
    shared.wait_status("traced-1", "APPROVED")
    shared.wait_status("traced-2", "FAILED", "EXPIRED")
    wait_until(lambda: len([n for n in shared.notices() if n["reservation_id"] in ("traced-1", "traced-2")]) == 6, "the notices")
    seen = set()
    for topic in ("reservation-commands", "payment-requests", "stock-requests", "charge-requests", "deadlines", "payment-results", "reservation-events",
                  "reservation-outcomes", "notifications"):
        for line in shared.read(topic):
            if line["value"].get("reservation_id") in ("traced-1", "traced-2"):
                seen.add(line["value"]["type"])
                assert line["headers"]["correlation-id"] == "request-42", (topic, line)
                assert line["headers"].get("traceparent") == trace or topic == "notifications", (topic, line)
    assert {"ChargeSettled", "DeadlinePassed", "Notified", "Tallied", "ReservationOutcome"} <= seen


def test_headers_that_are_no_text_or_too_long_stop_nobody_and_are_not_passed_on(shared):
    """A trace is kept in rows of deadline and charge, as text: bytes that are none would make a row that cannot be read again. And what a
    header brings is in every record that follows: a long one would make records that no topic takes."""
    shared.send({**book("odd"), "kind": "CONCERT", "price": 5, "payment": "BY_CUSTOMER", "hold_seconds": 4}, {**book("odd-paid"), "price": 5, "payment": "AT_ONCE"})
    for item_id in ("odd", "odd-paid"):
        shared.wait_item(item_id)
    long = b"x" * 1040000  # with the rest of the record not quite what a topic takes
    odd = {"no-text": [("traceparent", b"\xff\xfe"), ("correlation-id", b"\xff")], "long-trace": [("traceparent", long)],
           "long-correlation": [("correlation-id", long)]}
    for name, headers in odd.items():
        for item_id in ("odd", "odd-paid"):
            produce(shared, "reservation-commands", (item_id + name).encode(), encoded_reserve(item_id + name, item_id), headers)
    produce(shared, "reservation-commands", long, encoded_reserve("odd-key", "odd"))
    produce(shared, "reservation-commands", b"odd-letter", b"no command", [("correlation-id", long)])
    for name in odd:
        shared.wait_status("odd" + name, "HELD")
    for name in ("deadline", "charge"):
        shared.restart(name, signal.SIGKILL)  # their rows are read again
    for name in odd:
        shared.wait_status("odd" + name, "FAILED", "EXPIRED")
        shared.wait_status("odd-paid" + name, "APPROVED")
    steps = [line for line in shared.read("reservation-events") if line["value"]["type"] == "StatusChanged" and line["value"]["item_id"] in ("odd", "odd-paid")]
    assert len(steps) == 18 and all(line["headers"]["correlation-id"] == line["value"]["reservation_id"] for line in steps)
    assert not any("traceparent" in line["headers"] for line in steps)
    kept = long[:1024].decode()

    def both():
        found = [line for line in shared.read("dead-letters") if line["key"] in (kept, "odd-letter")]
        return found if len(found) >= 2 else None
    letters = wait_until(both, "two dead letters")
    assert len(letters) == 2
    assert [line["headers"]["whole-key"].split(",")[0] for line in letters if line["key"] == kept] == ["1040000 bytes"]
    assert all(re.fullmatch(r"reservation-commands-\d-\d+|odd-letter", line["headers"]["correlation-id"]) for line in letters)


def test_an_undecodable_record_on_an_internal_topic_stops_its_filter_and_loses_nothing(pipeline):
    pipeline.start_all()
    pipeline.send(book("sound"), {"type": "Reserve", "reservation_id": "sound-1", "customer_id": "kim", "item_id": "sound", "quantity": 1})
    pipeline.wait_status("sound-1", "APPROVED")
    produce(pipeline, "payment-requests", b"sound-1", b"damage")
    assert pipeline.filters["payment", 0].process.wait(timeout=60) == 78
    text = pipeline.filters["payment", 0].text()
    assert "cannot be processed: not Avro's single-object encoding" in text and "holdfast skip payment-requests" in text
    pipeline.start("payment", wait=False)
    assert pipeline.filters["payment", 0].process.wait(timeout=60) == 78  # it stays where it is
    pipeline.send(book("stuck"), {"type": "Reserve", "reservation_id": "stuck-1", "customer_id": "kim", "item_id": "stuck", "quantity": 1})
    pipeline.wait_status("stuck-1", "REQUESTED")  # the entrance goes on
    partition, offset = re.search(r"holdfast skip payment-requests (\d+) (\d+)'", text).groups()
    refused = pipeline.holdfast("skip", "payment-requests", partition, str(int(offset) + 1), check=False)
    assert refused.returncode == 65 and "only that one can be skipped" in refused.stderr
    pipeline.holdfast("skip", "payment-requests", partition, offset)
    pipeline.start("payment")
    pipeline.wait_status("stuck-1", "APPROVED")


def test_a_missing_topic_and_a_group_without_offsets_say_the_way_out(pipeline):
    missing = pipeline.start("stock-check", wait=False)
    assert missing.process.wait(timeout=60) == 78
    assert "does not exist: run 'holdfast topics apply'" in missing.text()
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": pipeline.broker.address})
    names = [pipeline.prefix + name for name in ("payment-results", "reservation-outcomes", "stock-requests", "reservation-events")]
    for future in admin.create_topics([confluent_kafka.admin.NewTopic(name, 4) for name in names]).values():
        future.result()
    without = pipeline.start("approved-failed", wait=False)
    assert without.process.wait(timeout=60) == 78
    assert "has no committed offset" in without.text() and "holdfast topics apply" in without.text()


def test_topics_apply_twice_changes_nothing_and_a_changed_count_is_refused(pipeline):
    folder = pipeline.folder / "topics"
    shutil.copytree(ROOT / "topics", folder)
    plan = pipeline.holdfast("topics", "plan", "--topics", folder).stdout
    assert "+ stock-requests: 4 partitions" in plan and "+ group payment: first commit" in plan
    assert "nothing to do" not in pipeline.holdfast("topics", "apply", "--topics", folder).stdout
    assert "nothing to do" in pipeline.holdfast("topics", "apply", "--topics", folder).stdout
    path = folder / "stock-levels.topic"
    path.write_text(path.read_text().replace("delete.retention.ms = 86400000", "delete.retention.ms = 90000000"))
    assert "~ stock-levels: delete.retention.ms from 86400000 to 90000000" in pipeline.holdfast("topics", "apply", "--topics", folder).stdout
    assert "nothing to do" in pipeline.holdfast("topics", "plan", "--topics", folder).stdout
    path.write_text(path.read_text().replace("partitions = 4", "partitions = 6"))
    refused = pipeline.holdfast("topics", "apply", "--topics", folder, check=False)
    assert refused.returncode == 78 and "'stock-levels' has 4 partitions and its file says 6: refused" in refused.stderr
    path.write_text("partitions = many\n")
    assert pipeline.holdfast("topics", "plan", "--topics", folder, check=False).returncode == 78


def test_a_broker_that_is_down_is_told(pipeline):
    for command in (["stock-check", "--state-dir", pipeline.stores], ["holdfast", "topics", "plan"], ["holdfast", "read", "deadlines"]):
        result = subprocess.run([BIN / command[0], *command[1:], "-b", "127.0.0.1:9"], capture_output=True, text=True, timeout=90)
        assert result.returncode == 69, result.stderr
        assert "is Kafka running" in result.stderr
        assert result.stderr.count("librdkafka FAIL") < 30, "a line for each of its connections"


def test_N18_a_state_directory_of_another_or_in_use_is_refused(pipeline):
    pipeline.apply()
    first = pipeline.start("stock-check")
    second = Filter(pipeline, "stock-check", 0)  # the same slot: the same directory
    assert second.process.wait(timeout=60) == 75
    assert "in use by another process" in second.text()
    first.end()
    shutil.copytree(pipeline.folder / "state/stock-check-0", pipeline.folder / "state/payment-0")
    wrong = pipeline.start("payment", wait=False)
    assert wrong.process.wait(timeout=60) == 78
    assert "belongs to '%sstock-check of cluster" % pipeline.prefix in wrong.text()


def cluster_of(address):
    return confluent_kafka.admin.AdminClient({"bootstrap.servers": address}).list_topics(timeout=30).cluster_id


def test_the_store_of_another_cluster_is_refused_and_stays_as_it_was(pipeline, tmp_path):
    """A volume that was mounted in the wrong place: the same filter and prefix, the same offsets, other records."""
    pipeline.apply()
    pipeline.start("stock-check", "catalog")
    pipeline.send(book("here"))
    pipeline.start("reserve-requested")
    pipeline.wait_item("here")
    assert pipeline.filters["stock-check", 0].end() == 0
    home, other = pipeline.broker, Broker(tmp_path / "other")
    other.start()
    try:
        pipeline.broker = other
        pipeline.apply()
        refused = pipeline.start("stock-check", wait=False)
        assert refused.process.wait(timeout=60) == 78
        owner = pipeline.prefix + "stock-check of cluster "
        last = refused.text().splitlines()[-1]
        assert "belongs to '%s%s', and this is '%s%s': see --brokers" % (owner, cluster_of(home.address), owner, cluster_of(other.address)) in last
        assert "--state-dir" in last
    finally:
        pipeline.broker = home
        other.stop()
    back = pipeline.start("stock-check")
    assert "reads its changelog" not in back.text()  # its rows are where they were
    pipeline.send({"type": "Reserve", "reservation_id": "here-1", "customer_id": "kim", "item_id": "here", "quantity": 1})
    pipeline.wait_item("here", available=4)


@pytest.mark.parametrize("flags,code,text", [
    (["--nonsense"], 64, "unknown option '--nonsense'"), (["--slot", "x"], 64, "--slot must be a whole number"),
    (["-X", "nonsense=1"], 78, "nonsense"), (["word"], 64, "takes no arguments"), (["-F", "/nowhere"], 64, "cannot read the properties file")])
def test_a_wrong_command_line_is_told(flags, code, text):
    result = subprocess.run([BIN / "stock-check", *flags], capture_output=True, text=True, timeout=60)
    assert result.returncode == code and text in result.stderr


@pytest.mark.parametrize("name,option", [("charge", "--provider-url"), ("notify", "--webhook-url")])
@pytest.mark.parametrize("url", ["provider:8090", "http://", "http://" + 249 * "h"])
def test_an_address_that_is_none_or_would_be_cut_is_refused(shared, tmp_path, name, option, url):
    command = [BIN / name, "-b", shared.broker.address, "--prefix", shared.prefix, "--slot", "7", "--state-dir", tmp_path, option, url]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 78 and option + " must begin with http:// or https://" in refused.stderr, refused.stderr


@pytest.mark.parametrize("content,secret,keys", [(None, "No such file", "No such file"), ("", "32 to 8192 bytes, not 0", "it is no JSON"), ("short", "32 to 8192 bytes, not 5", "it is no JSON")],
                         ids=["missing", "empty", "short"])
def test_a_gateway_whose_secret_or_keys_are_no_such_ends_with_78(tmp_path, content, secret, keys):
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    for flag, text in (("--jwt-secret-file", secret), ("--jwks", keys)):
        result = subprocess.run([BIN / "gateway", flag, path], capture_output=True, text=True, timeout=60)
        last = result.stderr.splitlines()[-1]
        assert result.returncode == 78 and "%s: the keys cannot be read: " % path in last and text in last, result.stderr


def test_an_id_that_is_too_long_to_be_asked_for_is_told():
    result = subprocess.run([BIN / "holdfast", "show", "reservation", "x" * 3000], capture_output=True, text=True, timeout=60)
    assert result.returncode == 65 and "ids have at most 64 bytes" in result.stderr


@pytest.mark.parametrize("name", FILTERS + ["holdfast"])
def test_help_has_examples_and_describe_is_json(name):
    assert "Usage:" in subprocess.run([BIN / name, "--help"], capture_output=True, text=True, check=True).stdout
    if name != "holdfast":
        assert json.loads(subprocess.run([BIN / name, "--describe"], capture_output=True, text=True, check=True).stdout)["name"] == name


def test_pipes_and_the_local_run_decide_as_the_broker_does(pipeline):
    commands = '\n'.join(['{"type":"RegisterItem","item_id":"b","title":"b","kind":"BOOK","capacity":1,"payment":"NONE"}',
                          '{"type":"Reserve","reservation_id":"r1","customer_id":"c","item_id":"b","quantity":1}',
                          '{"type":"Reserve","reservation_id":"r2","customer_id":"c","item_id":"b","quantity":1}']) + "\n"
    pipe = "%s/holdfast encode | " % BIN + " | ".join("%s/%s --pipe" % (BIN, name) for name in ("reserve-requested", "stock-check", "payment", "approved-failed"))
    out = subprocess.run(["bash", "-o", "pipefail", "-c", pipe], input=commands, capture_output=True, text=True, check=True).stdout
    assert '"ReservationOutcome","reservation_id":"r1","customer_id":"c","item_id":"b","revision":2,"status":"APPROVED"' in out
    assert '"reason":"SOLD_OUT"' in out and '"topic":"stock-requests"' in out  # what feeds back comes out at the end
    out = subprocess.run([BIN / "holdfast", "run", "--local"], input=commands.replace("\n", '\n{"wait":{"item":"b"}}\n', 1), capture_output=True, text=True, check=True).stdout
    assert '"status":"APPROVED"' in out and '"reason":"SOLD_OUT"' in out
    bad = subprocess.run([BIN / "stock-check", "--pipe"], input='{"topic":"x","key":"k","value":null}\nnonsense\n', capture_output=True, text=True)
    assert bad.returncode == 65 and "line 2: not JSON" in bad.stderr and bad.stdout == '{"topic":"x","key":"k","value":null}\n'


def test_a_pipe_with_a_state_directory_goes_on_where_it_stood(pipeline):
    def pipe(*commands):
        encoded = subprocess.run([BIN / "holdfast", "encode"], input="\n".join(commands), capture_output=True, text=True, check=True).stdout
        requested = subprocess.run([BIN / "reserve-requested", "--pipe"], input=encoded, capture_output=True, text=True, check=True).stdout
        return subprocess.run([BIN / "stock-check", "--pipe", "--state-dir", pipeline.folder / "p"], input=requested, capture_output=True, text=True, check=True).stdout
    pipe('{"type":"RegisterItem","item_id":"b","title":"b","kind":"BOOK","capacity":1,"payment":"NONE"}')
    assert "StockHeld" in pipe('{"type":"Reserve","reservation_id":"r1","customer_id":"c","item_id":"b","quantity":1}')
    assert "SOLD_OUT" in pipe('{"type":"Reserve","reservation_id":"r2","customer_id":"c","item_id":"b","quantity":1}')
