"""Tokens of another program (PyJWT) are what `holdfast token --check`, and so the gateway, takes; and ours are what it takes. No broker."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import threading
import time

import jwt
import pytest
from conftest import BIN
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

MAKERS = {"RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
          "EdDSA": ed25519.Ed25519PrivateKey.generate}
KEYS = {name: make() for name, make in MAKERS.items()}
OTHER = {name: make() for name, make in MAKERS.items()}
REALM = ("--issuer", "https://id.example/realms/shop", "--audience", "holdfast", "--roles-claim", "realm_access.roles")


def call(*arguments, stdin=None):
    return subprocess.run([BIN / "holdfast", "token", *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60)


def jwk(algorithm, key, kid):
    return {**json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def keys_of(keys):
    return json.dumps({"keys": [jwk(name, key, name) for name, key in keys.items()]})


def claims(**changes):
    now = int(time.time())
    return {"iss": REALM[1], "aud": ["account", "holdfast"], "sub": "f:1:kim", "iat": now, "exp": now + 300,
            "realm_access": {"roles": ["offline_access", "manager"]}, **changes}


@pytest.fixture
def jwks(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(keys_of(KEYS))
    return path


def check(token, jwks, *arguments):
    return call("--check", "-", "--jwks", jwks, *(arguments or REALM), stdin=token + "\n")


def refused(result, why):
    assert result.returncode == os.EX_DATAERR and result.stdout == "" and why in result.stderr, result.stdout + result.stderr


@pytest.mark.parametrize("algorithm", MAKERS)
def test_a_token_of_another_program_is_taken(algorithm, jwks):
    told = claims()
    result = check(jwt.encode(told, KEYS[algorithm], algorithm, headers={"kid": algorithm}), jwks)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"subject": "f:1:kim", "roles": ["manager"], "exp": told["exp"]}
    refused(check(jwt.encode(told, OTHER[algorithm], algorithm, headers={"kid": algorithm}), jwks), "signature is wrong")
    refused(check(jwt.encode(told, KEYS[algorithm], algorithm, headers={"kid": "x"}), jwks), "unknown (kid)")


def test_a_shared_secret_works_both_ways(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s" * 40 + "\n")
    token = jwt.encode({"sub": "kim", "exp": time.time() + 60.5}, "s" * 40, "HS256")
    result = call("--check", token, "--secret", secret)
    assert json.loads(result.stdout)["roles"] == ["customer"], result.stderr
    refused(call("--check", jwt.encode({"sub": "kim", "exp": time.time() + 60}, "t" * 40, "HS256"), "--secret", secret), "signature is wrong")
    made = call("--secret", secret, "--subject", "lee", "--role", "manager,administrator", "--minutes", 5)
    assert "for development only" in made.stderr
    told = jwt.decode(made.stdout.strip(), "s" * 40, ["HS256"])
    assert told["sub"] == "lee" and told["roles"] == ["manager", "administrator"] and told["exp"] - told["iat"] == 300


@pytest.mark.parametrize("algorithm", MAKERS)
def test_another_program_takes_our_tokens_by_our_jwks(algorithm, tmp_path):
    pem = tmp_path / "key.pem"
    pem.write_bytes(KEYS[algorithm].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    published = call("--key", pem, "--print-jwks").stdout
    token = call("--key", pem, "--subject", "kim", *REALM, "--role", "customer").stdout.strip()
    key = jwt.PyJWKSet.from_json(published)[jwt.get_unverified_header(token)["kid"]]
    told = jwt.decode(token, key, [algorithm], audience="holdfast", issuer=REALM[1])
    assert told["sub"] == "kim" and told["realm_access"] == {"roles": ["customer"]}
    assert "PRIVATE" not in published and '"d"' not in published
    (tmp_path / "keys.json").write_text(published)
    assert check(token, tmp_path / "keys.json").returncode == 0


@pytest.mark.parametrize("changes, why", [
    ({"exp": -100}, "the token expired 1"), ({"nbf": 1000}, "(nbf)"), ({"iss": "https://id.example"}, "(iss)"),
    ({"aud": "account"}, "(aud)"), ({"sub": ""}, "(sub)"), ({"sub": "k" * 65}, "(sub)"), ({"pad": "x" * 9000}, "more than 8192 bytes")])
def test_what_a_token_claims_is_checked(changes, why, jwks):
    """Times are seconds from now on."""
    changes = {name: int(time.time()) + value if name in ("exp", "nbf") else value for name, value in changes.items()}
    refused(check(jwt.encode(claims(**changes), KEYS["EdDSA"], "EdDSA", headers={"kid": "EdDSA"}), jwks), why)


def test_a_token_does_not_choose_its_algorithm(jwks):
    """Neither none nor the public key, which everybody has, as a secret; PyJWT refuses to make the latter."""
    refused(check(jwt.encode(claims(), None, "none"), jwks), "not signed")
    public = KEYS["RS256"].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "kid": "RS256"}, claims())]
    parts.append(base64.urlsafe_b64encode(hmac.new(public, b".".join(parts), hashlib.sha256).digest()).rstrip(b"="))
    refused(check(b".".join(parts).decode(), jwks), "not for the algorithm HS256")
    refused(check(jwt.encode(claims(), KEYS["RS256"], "PS256", headers={"kid": "RS256"}), jwks), "algorithm is not")


def test_keys_come_from_a_url():
    class Publisher(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/keys" else 404)
            self.end_headers()
            self.wfile.write(keys_of(KEYS).encode())

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    token = jwt.encode(claims(), KEYS["ES256"], "ES256", headers={"kid": "ES256"})
    url = "http://127.0.0.1:%d" % server.server_port
    try:
        assert check(token, url + "/keys").returncode == 0
        gone = check(token, url + "/gone")
        assert gone.returncode == os.EX_UNAVAILABLE and "404" in gone.stderr and "no keys came" in gone.stderr
    finally:
        server.shutdown()
        server.server_close()


def test_the_command_line_says_what_is_missing(tmp_path):
    short = tmp_path / "short"
    short.write_text("short")
    for arguments, code, why in (((), os.EX_USAGE, "say --secret FILE or --key FILE.pem"), (("--secret", short), os.EX_NOINPUT, "32 to 8192 bytes, not 5"),
                                 (("--key", short, "--subject", "kim"), os.EX_NOINPUT, "no private key"), (("--check", "x"), os.EX_USAGE, "--jwks"),
                                 (("--check", "x", "--jwks", short), os.EX_CONFIG, "no JSON"), (("--secret", tmp_path / "no"), os.EX_NOINPUT, "No such file")):
        result = call(*arguments)
        assert result.returncode == code and why in result.stderr, (arguments, result.stderr)
    short.write_text("s" * 32)
    assert "say whose token" in call("--secret", short).stderr
    assert "no role 'king'" in call("--secret", short, "--subject", "kim", "--role", "king").stderr
    assert "a secret is not published" in call("--secret", short, "--print-jwks").stderr
    assert "Examples:" in call("--help").stdout
