"""The gateway's TLS: what its callers see of the certificate while it is there, while it changes, and while it is of no use."""
import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess

import pytest
from conftest import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from test_gateway import WITHOUT_LIMIT, Gateway, Listener
from test_http import connect, slow_clients

DAY = datetime.timedelta(days=1)
PASSWORD = serialization.BestAvailableEncryption(b"x")


def pem_of(key, encryption=serialization.NoEncryption()):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
          "decipher_only")
SIGNS = x509.KeyUsage(**{usage: usage == "key_cert_sign" for usage in USAGES})


class Authority:
    """Signs certificates for 127.0.0.1, to the letter of RFC 5280: Python's ssl asks for that since 3.13."""

    def __init__(self, folder):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name.from_rfc4514_string("CN=tests")
        self.path = folder / "ca.pem"
        self.path.write_bytes(self.sign(self.name, self.key, [x509.BasicConstraints(ca=True, path_length=0), SIGNS]))

    def sign(self, name, key, extensions, until=DAY):
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - 3 * DAY).not_valid_after(now + until)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False))
        for extension in extensions:
            made = made.add_extension(extension, critical=key is self.key)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def make(self, key=None, until=DAY):
        """(certificate, key), both in PEM."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return self.sign(x509.Name.from_rfc4514_string("CN=localhost"), key, [alternatives], until), pem_of(key)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def serial_of(certificate):
    return x509.load_pem_x509_certificate(certificate).serial_number


class Secure(Gateway):
    def __init__(self, pipeline, authority, slot=0):
        self.authority, self.files = authority, [pipeline.folder / "tls.crt", pipeline.folder / "tls.key"]
        self.put(*authority.make())
        super().__init__(pipeline, slot, flags=(*WITHOUT_LIMIT, "--tls-certificate", self.files[0], "--tls-key", self.files[1]))

    def put(self, *texts):
        """Each file is whole at any time; None: it stays."""
        for path, text in zip(self.files, texts):
            if text is not None:
                path.with_suffix(".new").write_bytes(text)
                path.with_suffix(".new").rename(path)

    def context(self):
        return ssl.create_default_context(cafile=self.authority.path)

    def connect(self, timeout=60):
        return http.client.HTTPSConnection("127.0.0.1", self.port(), timeout=timeout, context=self.context())

    def serial(self):
        """Of the certificate that a new connection gets."""
        with contextlib.closing(self.connect()) as connection:
            connection.connect()
            return x509.load_der_x509_certificate(connection.sock.getpeercert(True)).serial_number

    def says(self, text, times=1):
        return wait_until(lambda: self.filter.text().count(text) >= times, "the log to say '%s'" % text)


@pytest.fixture(scope="module")
def secure(shared, authority):
    shared.holdfast("send", "--history-url", "http://127.0.0.1:1",
                    stdin=json.dumps({"type": "RegisterItem", "item_id": "free", "title": "free", "kind": "BOOK", "capacity": 100000, "payment": "NONE"}))
    shared.wait_item("free")
    return Secure(shared, authority)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_python_reserves_by_tls_of_either_version(secure, version):
    context = secure.context()
    context.minimum_version = context.maximum_version = version
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", secure.port(), timeout=60, context=context)) as connection:
        for _ in range(3):
            connection.request("POST", "/reservations", '{"item_id":"free","quantity":1}', secure.headers("kim", ("customer",), Prefer="wait=20", Content_Type="application/json"))
            answer = connection.getresponse()
            assert json.loads(answer.read())["status"] == "APPROVED"
        assert connection.sock.version() == version.name.replace("_", ".")


def test_curl_reserves_by_tls_and_refuses_it_without_its_root(secure):
    def curl(*arguments):
        return subprocess.run(["curl", "-sS", *arguments, "https://localhost:%d/reservations" % secure.port(), "-H", "Content-Type: application/json", "-H", "Prefer: wait=20",
                               "-d", '{"item_id":"free","quantity":1}'], capture_output=True, text=True, timeout=60)
    good = curl("--cacert", secure.authority.path)
    assert json.loads(good.stdout)["status"] == "APPROVED", good
    stranger = curl()
    assert stranger.returncode == 60, stranger


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(secure, version):
    context = secure.context()
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this side would be the one that refuses
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", secure.port()), timeout=20) as plain, pytest.raises(ssl.SSLError, match="(?i)closed|EOF|alert"):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_certificate_that_changes_is_served_without_a_restart_or_a_broken_connection(secure):
    before = secure.serial()
    with contextlib.closing(secure.connect()) as kept, Listener(secure, "ear") as ear:
        def ask():
            kept.request("GET", "/items/free", headers=secure.headers("kim", ("customer",)))
            answer = kept.getresponse()
            return answer.status, answer.read() and None
        assert ask() == (200, None)
        for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(public_exponent=65537, key_size=2048)):
            certificate, text = secure.authority.make(key)
            secure.put(certificate, text)
            wait_until(lambda: secure.serial() == serial_of(certificate), "the new certificate")
            assert ask() == (200, None)
        secure.reserve("free", caller="ear")
        wait_until(lambda: len(ear.steps) == 3, "the events of who listens since before")
    assert before != secure.serial()


def test_what_does_not_fit_together_keeps_the_old_certificate_and_is_told_once(secure):
    before = secure.serial()
    certificate, key = secure.authority.make()
    told = secure.filter.text().count("the old certificate stays")
    locked = pem_of(ec.generate_private_key(ec.SECP256R1()), PASSWORD)
    for texts, why in (((None, key), "does not fit --tls-key"), ((None, b"no key"), "no key in PEM"), ((None, locked), "no key in PEM"),
                       ((b"no certificate", None), "no certificate in PEM")):
        seen = secure.filter.text().count(why)
        secure.put(*texts)
        secure.says(why, seen + 1)
        assert secure.serial() == before
    secure.files[1].unlink()
    secure.put(certificate, None)
    secure.says("No such file or directory; the old certificate stays")
    assert secure.serial() == before
    assert secure.filter.text().count("the old certificate stays") == told + 5
    secure.filter.process.send_signal(signal.SIGHUP)  # who asks hears it again
    secure.says("No such file or directory; the old certificate stays", 2)
    secure.put(None, key)
    wait_until(lambda: secure.serial() == serial_of(certificate), "the certificate that fits at last")


def test_an_expired_certificate_is_served_and_told(secure):
    certificate, key = secure.authority.make(until=-DAY)
    secure.put(certificate, key)
    secure.says("so clients refuse it")
    with pytest.raises(ssl.SSLError, match="expired"):
        secure.serial()
    secure.put(*secure.authority.make())
    wait_until(lambda: secure.ask("GET", "/items/free").status == 200, "a valid one")


def test_what_is_no_tls_does_not_hurt_the_port(secure):
    for text in (b"GET /items HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 1000, os.urandom(5000), b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        with contextlib.closing(connect(secure.port(), text=text)) as one, contextlib.suppress(ConnectionError):
            with contextlib.suppress(OSError):  # it may be closed already
                one.shutdown(socket.SHUT_WR)
            assert b"HTTP" not in one.recv(65536)
    with slow_clients(secure.port(), 100):
        for _ in range(10):
            assert secure.reserve("free", caller="swift").status == 202


@pytest.mark.parametrize("certificate,key,code,why", [
    ("gone", "key", 78, "--tls-certificate {}/gone: No such file or directory"), ("cert", "gone", 78, "--tls-key {}/gone: No such file or directory"),
    ("text", "key", 78, "--tls-certificate {}/text: it is no certificate in PEM"), ("cert", "text", 78, "--tls-key {}/text: it is no key in PEM"),
    ("cert", "other", 78, "--tls-certificate {0}/cert: it does not fit --tls-key {0}/other"), ("cert", "locked", 78, "--tls-key {}/locked: it is no key in PEM without a password"),
    (".", "key", 78, "--tls-certificate {}/.: it is no file"), ("large", "key", 78, "more than 1 MiB"), ("empty", "key", 78, "--tls-certificate {}/empty"),
    ("cert", None, 64, "TLS needs both --tls-certificate and --tls-key"), (None, "key", 64, "TLS needs both")])
def test_a_bad_certificate_at_the_start_is_told(shared, authority, tmp_path, certificate, key, code, why):
    good, other = authority.make(), authority.make()
    files = {"cert": good[0], "key": good[1], "other": other[1], "text": b"text\n", "empty": b"", "large": b"x" * 2000000,
             "locked": pem_of(ec.generate_private_key(ec.SECP256R1()), PASSWORD)}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    named = (("--tls-certificate", certificate), ("--tls-key", key))
    refused = shared.start_gateway("--auth", "none", *[part for flag, name in named if name for part in (flag, "%s/%s" % (tmp_path, name))], slot=9, wait=False)
    assert refused.process.wait(timeout=60) == code, refused.text()
    assert why.format(tmp_path) in refused.text(), refused.text()
