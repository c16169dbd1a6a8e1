"""On a broker that asks who comes: the pipeline works as anywhere, who is not let in hears why, and passwords and certificates change under load."""
import contextlib
import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from confluent_kafka.admin import ResourceType as ConfigType
from conftest import BIN, FILTERS, SECRET, Background, Filter, tell, wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from secure import FLOW, ByPassword, SecureBroker, SecurePipeline, book, broker, pipeline, reserve, settle  # noqa: F401


def change_password(broker, user, mechanism, password):
    iterations = 8192
    change = UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, iterations), password.encode())
    admin = broker.admin()  # its futures end with it
    for changed in admin.alter_user_scram_credentials([change]).values():
        changed.result(30)


def properties(pipeline, name, lines, without=()):
    """The user's file with other lines, without those of some names."""
    kept = [line for line in pipeline.broker.file(name + ".properties").read_text().splitlines() if line.split(" =")[0] not in (*lines, *without)]
    path = pipeline.folder / (name + "-%d.properties" % time.monotonic_ns())
    path.write_text("".join("%s\n" % line for line in kept + ["%s = %s" % line for line in lines.items()]))
    return path


def ends_with(filter_, code):
    assert filter_.process.wait(timeout=90) == code, filter_.text()
    return filter_.text()


def test_the_whole_pipeline_runs_with_a_certificate_each_and_goes_on_with_passwords(pipeline, tmp_path):
    pipeline.start_all()
    gateway = pipeline.start_gateway("--auth", "none")
    pipeline.send(book("paid", price=5, payment="AT_ONCE"))
    pipeline.wait_item("paid")
    body = json.dumps({"item_id": "paid", "quantity": 1}).encode()
    request = urllib.request.Request("http://127.0.0.1:%d/reservations" % gateway.port("requests"), body,
                                     {"Content-Type": "application/json", "Holdfast-Subject": "kim", "Holdfast-Roles": "customer", "Prefer": "wait=30"})
    assert json.load(urllib.request.urlopen(request, timeout=60))["status"] == "APPROVED"
    pipeline.send(reserve("by-certificate", "paid"))
    pipeline.wait_status("by-certificate", "APPROVED")
    pipeline.broker = ByPassword(pipeline.broker, tmp_path)
    for name in FILTERS:
        pipeline.restart(name, signal.SIGTERM)
    pipeline.send(reserve("by-password", "paid"))
    pipeline.wait_status("by-password", "APPROVED")
    settle(pipeline)
    pipeline.prove()
    assert "APPROVED" in pipeline.holdfast("explain", "by-password").stdout
    assert "nothing to do" in pipeline.holdfast("topics", "plan").stdout


def test_who_has_no_ACL_is_told_what_is_missing(pipeline):
    pipeline.apply()
    wrong = pipeline.start("stock-check", flags=["-F", pipeline.broker.file("tally.properties")], wait=False)
    assert "Read on topic '%sstock-requests' is not allowed" % pipeline.prefix in ends_with(wrong, 78)
    for command, user, text in ((["send", "Cancel", "reservation_id=x", "customer_id=x"], "auditor", "Write on topic"),
                                (["read", "charge-requests"], "gateway", "Read on topic"),
                                (["acls", "apply"], "operator", "Alter on cluster")):
        refused = pipeline.holdfast(*command, "-F", pipeline.broker.file(user + ".properties"), check=False)
        # `send` may be told by the broker when it asks for the topic, or when it writes
        assert refused.returncode == 78 and text in refused.stderr, (command, refused)


def make_expired(broker, folder, name):
    """A certificate that was valid until yesterday, with the key and the name of the one that is."""
    authority = x509.load_pem_x509_certificate(broker.file("ca.pem").read_bytes())
    authority_key = serialization.load_pem_private_key(broker.file("ca.key").read_bytes(), None)
    pem = broker.file(name + ".pem").read_bytes()
    key, valid = serialization.load_pem_private_key(pem, None), x509.load_pem_x509_certificate(pem)
    today = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(authority.subject, valid.subject, valid.public_key(), x509.random_serial_number(), today - datetime.timedelta(30),
                                      today - datetime.timedelta(1))
    for extension in valid.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    path = folder / (name + "-expired.pem")
    path.write_bytes(pem[:pem.index(b"-----BEGIN CERTIFICATE")] + builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def password_file(pipeline, text):
    path = pipeline.folder / ("password-%d" % time.monotonic_ns())
    if text is not None:
        path.write_text(text)
    return {"sasl-password-file": path}


# By name: by password, the lines that its properties file has, and what is said.
WRONG = {
    "a wrong password": (True, lambda p: {"sasl.password": "wrong"}, "do not trust each other"),
    "an unknown principal": (True, lambda p: {"sasl.username": "nobody"}, "do not trust each other"),
    "a missing password file": (True, lambda p: password_file(p, None), "cannot be read: No such file"),
    "an empty password file": (True, lambda p: password_file(p, "\n"), "has no password in its first line"),
    "a wrong password in the file": (True, lambda p: password_file(p, "wrong\n"), "do not trust each other"),
    "a missing CA": (False, lambda p: {"ssl.ca.location": "/nowhere/ca.pem"}, "ssl.ca.location"),
    "another CA": (False, lambda p: {"ssl.ca.location": p.broker.file("admin.pem")}, "do not trust each other"),
    "an expired certificate": (False, lambda p: {"ssl.certificate.location": make_expired(p.broker, p.folder, "stock-check")}, "expired on "),
    "no certificate": (False, lambda p: {"ssl.certificate.location": "", "ssl.key.location": ""}, "do not trust each other"),
    "somebody else's certificate": (False, lambda p: dict.fromkeys(("ssl.certificate.location", "ssl.key.location"), p.broker.file("tally.pem")), "is not allowed"),
}


def test_bad_input_ends_with_78_and_what_is_wrong(pipeline, tmp_path):
    """A filter, a gateway, and a command of holdfast."""
    certified, started = pipeline.broker, {}
    with_password = ByPassword(certified, tmp_path)
    for name, (by_password, make, _) in WRONG.items():
        pipeline.broker = with_password if by_password else certified
        lines = make(pipeline)
        path = properties(pipeline, "stock-check", {name: value for name, value in lines.items() if value != ""}, without=lines)
        command = [BIN / "holdfast", "topics", "plan", "-b", pipeline.broker.address, "-F", path]
        started[name] = (Filter(pipeline, "stock-check", len(started), ["-F", path]), Filter(pipeline, "gateway", len(started), ["--auth", "none", "-F", path]),
                         subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=pipeline.environment()))
    for name, (filter_, gateway, command) in started.items():
        text, told = WRONG[name][2], command.communicate(timeout=90)[1]
        for process in (filter_, gateway):
            said = ends_with(process, 78)
            assert text in said.splitlines()[-1], (name, process.name, said)
        if text != "is not allowed":  # a plan sees what it may see: nothing
            assert command.returncode == 78 and text in told, (name, told)


def test_a_librdkafka_that_is_too_old_for_SCRAM_says_so_or_is_not(pipeline, broker):
    """Debian 12's is; Debian 13's is not."""
    pipeline.apply()
    filter_ = pipeline.start("stock-check", flags=["-b", (broker.folder / "scram").read_text().strip(), "-F", broker.file("stock-check-scram.properties")], wait=False)
    wait_until(lambda: filter_.process.poll() is not None or filter_.ready(), "it to end, or to be ready")
    if filter_.process.poll() is not None:
        assert "librdkafka before 2.6.1 cannot use SCRAM" in ends_with(filter_, 78)


class Impostor(Background):
    """Shows a certificate to whoever comes, and nothing else."""

    def __init__(self, certificate):
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def run(self):
        while not self.stopping.is_set():
            with contextlib.suppress(OSError):
                self.context.wrap_socket(self.socket.accept()[0], server_side=True).close()


def test_a_broker_whose_certificate_expired_is_not_trusted(pipeline):
    with Impostor(make_expired(pipeline.broker, pipeline.folder, "broker")) as impostor:
        filter_ = pipeline.start("stock-check", flags=["-b", impostor.address], wait=False)
        assert "the broker's certificate: certificate has expired" in ends_with(filter_, 78).splitlines()[-1]


def test_a_password_in_a_file_of_its_own_serves(pipeline, tmp_path):
    pipeline.apply()
    pipeline.broker = ByPassword(pipeline.broker, tmp_path)
    path = properties(pipeline, "approved-failed", {"sasl-password-file": pipeline.broker.file("approved-failed.password")}, without=["sasl.password"])
    pipeline.start("approved-failed", flags=["-F", path])


def test_a_broker_that_is_away_is_no_matter_for_a_person(pipeline, broker):
    pipeline.apply()
    filter_ = pipeline.start("approved-failed")
    broker.kill()
    try:
        away = pipeline.start("stock-check", wait=False)
        assert "no broker answers" in ends_with(away, 69)
        assert filter_.process.poll() is None or filter_.process.returncode == 75, filter_.text()
    finally:
        broker.start()
    if filter_.process.poll() is None:
        wait_until(lambda: filter_.process.poll() is not None or filter_.ready(), "the filter to be back, or to be started anew")
    assert filter_.process.poll() in (None, 75), filter_.text()
    if filter_.process.poll() is not None:
        pipeline.start("approved-failed")


def test_secrets_are_in_no_command_line_log_metric_or_description(pipeline):
    pipeline.start_all()
    users = pipeline.broker.file("users").read_text().split()
    secrets = [pipeline.broker.file(user + ".password").read_text().strip() for user in users] + [SECRET]
    secrets += [pipeline.broker.file(user + ".pem").read_text().split("-----")[2].strip().splitlines()[0] for user in users]
    debugged = pipeline.restart("tally", signal.SIGTERM, flags=["-X", "debug=security,broker", "--log-level", "3"])
    wait_until(debugged.ready, "tally to be ready")
    seen = {}
    for (name, slot), filter_ in pipeline.filters.items():
        seen[name + " arguments"] = open("/proc/%d/cmdline" % filter_.process.pid).read()
        seen[name + " log"] = filter_.text()
        seen[name + " metrics"] = filter_.get("/metrics")[1]
        seen[name + " describe"] = subprocess.run([BIN / name, *map(str, pipeline.identity(name)), "--describe"], capture_output=True, text=True, check=True).stdout
    for command in (["acls", "plan"], ["acls", "list", "-o", "kafka-acls"], ["topics", "plan"]):
        result = pipeline.holdfast(*command)
        seen[" ".join(command)] = result.stdout + result.stderr
    found = [where for where, text in seen.items() for secret in secrets if secret in str(text)]
    assert not found and len(seen) == 4 * len(FILTERS) + 3
    for flags in (["-X", "sasl.password=not-to-be-seen"], ["--webhook-secret", "not-to-be-seen"]):
        refused = subprocess.run([BIN / "notify", *flags], capture_output=True, text=True)
        assert refused.returncode == 64 and "is a secret" in refused.stderr and "not-to-be-seen" not in refused.stderr


# ---- rotation ----

class Customers(Background):
    """One reservation after another, each waited for; how long the longest took."""

    def __init__(self, pipeline, item_id):
        super().__init__()
        self.pipeline, self.item_id, self.count, self.longest, self.failure = pipeline, item_id, 0, 0.0, None

    def run(self):
        try:
            while not self.stopping.is_set():
                began, name = time.monotonic(), "%s-%d" % (self.item_id, self.count)
                self.pipeline.send(reserve(name, self.item_id))
                self.pipeline.wait_status(name, "APPROVED")
                self.count, self.longest = self.count + 1, max(self.longest, time.monotonic() - began)
        except Exception as failure:
            self.failure = failure

    def __exit__(self, *failure):
        super().__exit__(*failure)
        assert not self.failure and self.count, self.failure


def test_a_password_is_changed_under_load_without_an_outage(pipeline, broker, tmp_path):
    """A user has a password for each mechanism: the new one is for SHA-256, and each process changes over when it is restarted."""
    pipeline.broker = ByPassword(broker, tmp_path)
    pipeline.start_flow()
    pipeline.send(book("rotated", 100000))
    pipeline.wait_item("rotated")
    with Customers(pipeline, "rotated"):
        for name in FLOW:
            change_password(broker, name, ScramMechanism.SCRAM_SHA_256, "new password of " + name)
            pipeline.properties[name] = properties(pipeline, name, {"sasl.mechanism": "SCRAM-SHA-256", "sasl.password": "new password of " + name})
            assert pipeline.filters[name, 0].end() == 0
            pipeline.start(name)
    pipeline.audit()
    change_password(broker, "stock-check", ScramMechanism.SCRAM_SHA_512, "nobody knows this one")
    former = Filter(pipeline, "stock-check", 1, ["-F", pipeline.broker.file("stock-check.properties")])
    assert "do not trust each other" in ends_with(former, 78)
    change_password(broker, "stock-check", ScramMechanism.SCRAM_SHA_512, broker.file("stock-check.password").read_text().strip())


def serial(address):
    host, port = address.split(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


def reads_again(broker, store, name):
    """The broker, while it runs: its own certificate (keystore), or whom it trusts (truststore)."""
    changes = [ConfigEntry("listener.name.%s.ssl.%s.location" % (listener, store), str(broker.file(name)), incremental_operation=AlterConfigOpType.SET)
               for listener in ("broker", "scram")]
    admin = broker.admin()  # its futures end with it
    for changed in admin.incremental_alter_configs([ConfigResource(ConfigType.BROKER, "1", incremental_configs=changes)]).values():
        changed.result(30)


def test_certificates_are_changed_under_load_without_an_outage(pipeline, broker):
    """The broker's own while it runs, and those of the filters, each when it is restarted."""
    pipeline.start_flow()
    pipeline.send(book("certified", 100000))
    pipeline.wait_item("certified")
    former = serial(broker.address)
    end = x509.load_pem_x509_certificate(broker.file("history.pem").read_bytes()).not_valid_after_utc
    assert pipeline.filters["history", 0].metric("certificate_expires_timestamp_seconds") == end.timestamp()
    with Customers(pipeline, "certified"):
        broker.run("certificate", "broker")
        reads_again(broker, "keystore", "broker.pem")
        wait_until(lambda: serial(broker.address) != former, "the broker to show its new certificate")
        def renew(name):
            before = broker.file(name + ".pem").read_bytes()
            broker.run("certificate", name)
            assert broker.file(name + ".pem").read_bytes() != before
        restart_flow(pipeline, renew)
    pipeline.audit()


def restart_flow(pipeline, before=lambda name: None):
    for name in FLOW:
        before(name)
        assert pipeline.filters[name, 0].end() == 0
        pipeline.start(name)


def test_the_CA_is_changed_under_load_without_an_outage(pipeline, broker):
    """As docs/security.md says: first both are trusted, then certificates change, then the former is taken out."""
    pipeline.start_flow()
    pipeline.send(book("authority", 100000))
    pipeline.wait_item("authority")
    former = {name: (pipeline.folder / name) for name in ("ca.pem", "stock-check.pem")}
    for name, path in former.items():
        path.write_bytes(broker.file(name).read_bytes())
    with Customers(pipeline, "authority") as customers:
        broker.run("certificate", "ca")
        reads_again(broker, "truststore", "ca.pem")
        restart_flow(pipeline)
        for name in ["broker", *broker.file("users").read_text().split()]:
            broker.run("certificate", name)
        reads_again(broker, "keystore", "broker.pem")
        restart_flow(pipeline)
        trusted = x509.load_pem_x509_certificates(broker.file("ca.pem").read_bytes())
        assert len(trusted) == 2
        broker.file("ca.new").write_bytes(trusted[0].public_bytes(serialization.Encoding.PEM))
        broker.file("ca.new").rename(broker.file("ca.pem"))  # at once: somebody may be reading it
        reads_again(broker, "truststore", "ca.pem")
        restart_flow(pipeline)
    tell("a CA changed under load: %d reservations, the longest took %.1f s" % (customers.count, customers.longest))
    pipeline.audit()
    for lines in ({"ssl.ca.location": former["ca.pem"]}, dict.fromkeys(("ssl.certificate.location", "ssl.key.location"), former["stock-check.pem"])):
        left = Filter(pipeline, "stock-check", 1, ["-F", properties(pipeline, "stock-check", lines)])
        assert "do not trust each other" in ends_with(left, 78).splitlines()[-1]


@pytest.mark.skipif("SECURE_BROKERS" not in os.environ, reason="four JVMs beside six filters take minutes: SECURE_BROKERS=3")
def test_several_secure_brokers_serve_while_one_of_them_is_away(tmp_path):
    cluster = SecureBroker(tmp_path / "cluster", int(os.environ["SECURE_BROKERS"]))
    cluster.start()
    pipeline = SecurePipeline(cluster, tmp_path)
    try:
        pipeline.start_flow()
        pipeline.send(book("three", 100000))
        pipeline.wait_item("three")
        with Customers(pipeline, "three") as customers:
            wait_until(lambda: customers.count >= 2, "two reservations")
            for node in map(str, range(1, cluster.count + 1)):
                cluster.kill("--node", node)
                before = customers.count
                wait_until(lambda: customers.count >= before + 2, "reservations without broker " + node)
                cluster.run("start", "--node", node)
        tell("each of the secure brokers killed: %d reservations, the longest took %.1f s" % (customers.count, customers.longest))
        pipeline.audit()
        pipeline.close()
        pipeline.filters = {}
        pipeline.broker = ByPassword(cluster, tmp_path)
        pipeline.start(*FLOW)
        pipeline.send(reserve("by-password", "three"))
        pipeline.wait_status("by-password", "APPROVED")
        pipeline.audit()
    finally:
        pipeline.close()
        cluster.stop()


def test_a_password_that_holds_no_more_ends_a_filter_once_it_has_to_show_it_again(pipeline, broker, tmp_path):
    pipeline.apply()
    pipeline.broker = ByPassword(broker, tmp_path)
    filter_ = pipeline.start("approved-failed")
    change_password(broker, "approved-failed", ScramMechanism.SCRAM_SHA_512, "another")
    try:
        broker.stop()
        broker.start()
        assert "do not trust each other" in ends_with(filter_, 78).splitlines()[-1]
    finally:
        change_password(broker, "approved-failed", ScramMechanism.SCRAM_SHA_512, broker.file("approved-failed.password").read_text().strip())
