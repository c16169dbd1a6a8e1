"""Tokens of a real identity provider, Keycloak, at the gateway: roles of a realm, each algorithm, keys that are rotated, and what is refused.

KEYCLOAK=1 build/venv/bin/python -m pytest tests/kafka/test_keycloak.py fetches it from Maven Central (200 MB, once) into build/keycloak."""
import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import ROOT, wait_until
from test_gateway import ADMINISTRATOR, CUSTOMER, ITEM, MANAGER, WITHOUT_LIMIT, Gateway

pytestmark = pytest.mark.skipif("KEYCLOAK" not in os.environ, reason="a long form of its own: KEYCLOAK=1")
VERSION = "26.5.6"
HOME = ROOT / "build/keycloak" / ("keycloak-" + VERSION)
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
PEOPLE = {"kim": CUSTOMER, "boss": MANAGER, "root": ADMINISTRATOR}


def fetch():
    if (HOME / "bin/kc.sh").exists():
        return
    subprocess.run(["mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack",
                    "-Dartifact=org.keycloak:keycloak-quarkus-dist:%s:zip" % VERSION, "-DoutputDirectory=%s" % HOME.parent], check=True, timeout=900, cwd=ROOT / "build")


def client(name, algorithm="RS256", **more):
    audience = {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                "config": {"included.custom.audience": "holdfast", "access.token.claim": "true"}}
    return {"clientId": name, "enabled": True, "publicClient": True, "directAccessGrantsEnabled": True, "protocolMappers": [audience],
            "attributes": {"access.token.signed.response.alg": algorithm, **more.pop("attributes", {})}, **more}


def realm(name):
    users = [{"username": who, "enabled": True, "email": who + "@example.com", "emailVerified": True, "firstName": who, "lastName": who, "realmRoles": list(roles),
              "credentials": [{"type": "password", "value": "secret of " + who}]} for who, roles in PEOPLE.items()]
    users.append({"username": "service-account-robot", "enabled": True, "serviceAccountClientId": "robot", "realmRoles": ["manager"]})
    return {"realm": name, "enabled": True, "sslRequired": "none", "roles": {"realm": [{"name": role} for role in CUSTOMER + MANAGER + ADMINISTRATOR]}, "users": users,
            "clients": [client("shop")] + [client("shop-" + one, one) for one in ALGORITHMS] + [client("hasty", attributes={"access.token.lifespan": "1"})] +
                       [client("robot", publicClient=False, secret="of the robot", serviceAccountsEnabled=True)]}


class Keycloak:
    def __init__(self, folder):
        port = subprocess.run([ROOT / "scripts/free-port"], capture_output=True, text=True, check=True).stdout.strip()
        self.url, self.log = "http://127.0.0.1:" + port, folder / "keycloak.log"
        environment = {**os.environ, "KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin", "KC_DB": "dev-mem", "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["sh", HOME / "bin/kc.sh", "start-dev", "--http-host", "127.0.0.1", "--http-port", port, "--cache", "local"],
                                            stdout=log, stderr=log, env=environment)

    def call(self, path, body=None, bearer=None, method=None, form=False):
        data = urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json", **({"Authorization": "Bearer " + bearer} if bearer else {})}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers, method=method), timeout=60) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def tokens(self, name, **form):
        return self.call("/realms/%s/protocol/openid-connect/token" % name, form, form=True)

    def token(self, who, client_id="shop", name="shop"):
        """By the password grant: as an app of its own would not, but a test may."""
        return self.tokens(name, grant_type="password", client_id=client_id, username=who, password="secret of " + who, scope="openid")["access_token"]

    def administer(self, path, body):
        admin = self.tokens("master", grant_type="password", client_id="admin-cli", username="admin", password="admin")["access_token"]
        return self.call("/admin/realms" + path, body, admin)

    def rotate(self, algorithm, provider, config):
        """Another key, which signs from now on."""
        self.administer("/shop/components", {"name": "new-" + algorithm, "providerId": provider, "providerType": "org.keycloak.keys.KeyProvider",
                                             "config": {"priority": ["200"], "enabled": ["true"], "active": ["true"], **config}})

    def ready(self):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.call("/realms/master")
        except urllib.error.HTTPError:
            return None


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory):
    fetch()
    one = Keycloak(tmp_path_factory.mktemp("keycloak"))
    try:
        wait_until(one.ready, "Keycloak to answer", 300)
        for name in ("shop", "other"):
            one.administer("", realm(name))
        yield one
    finally:
        one.process.terminate()
        one.process.wait(timeout=60)


class Guarded(Gateway):
    """Callers have tokens of Keycloak."""

    def __init__(self, pipeline, keycloak):
        realm_url = keycloak.url + "/realms/shop"
        self.filter = pipeline.start_gateway(*WITHOUT_LIMIT, "--jwks", realm_url + "/protocol/openid-connect/certs", "--jwt-issuer", realm_url,
                                             "--jwt-audience", "holdfast", "--jwt-roles-claim", "realm_access.roles")

    def headers(self, caller, roles, **more):
        return {"Authorization": "Bearer " + caller, **{name.replace("_", "-"): str(value) for name, value in more.items()}}

    def takes(self, bearer):
        """Its key may be younger than the keys that were read last: a key that is unknown is looked up at most once in half a minute."""
        return wait_until(lambda: self.ask("GET", "/items", caller=bearer).status == 200, "the token to be taken")


@pytest.fixture(scope="module")
def gateway(shared, keycloak):
    return Guarded(shared, keycloak)


def claims(bearer, part=1):
    text = bearer.split(".")[part]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_realms_roles_say_who_may(shared, gateway, keycloak):
    kim, boss, root = (keycloak.token(who) for who in PEOPLE)
    assert gateway.ask("PUT", "/items/book", {**ITEM, "capacity": 10}, caller=kim).status == 403
    assert gateway.ask("PUT", "/items/book", {**ITEM, "capacity": 10}, caller=boss).status == 202
    shared.wait_item("book")
    mine = gateway.reserve("book", caller=kim, wait=30)
    assert mine.status == 200 and mine.json["customer_id"] == claims(kim)["sub"], mine
    place = "/reservations/" + mine.json["reservation_id"]
    assert [gateway.ask("GET", place, caller=one).status for one in (kim, boss, root)] == [200, 200, 200]
    assert [gateway.ask("GET", "/reservations", caller=one).status for one in (kim, boss, root)] == [403, 403, 200]
    assert gateway.ask("GET", "/customers/me/reservations", caller=kim).json["reservations"]


def test_a_service_has_a_token_by_its_own_secret(gateway, keycloak):
    robot = keycloak.tokens("shop", grant_type="client_credentials", client_id="robot", client_secret="of the robot")["access_token"]
    assert gateway.ask("GET", "/tallies", caller=robot).status == 200
    assert gateway.ask("GET", "/reservations", caller=robot).status == 403


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_of_the_provider_is_taken(gateway, keycloak, algorithm):
    bearer = keycloak.token("kim", "shop-" + algorithm)
    assert claims(bearer, 0)["alg"] == algorithm
    gateway.takes(bearer)


@pytest.mark.parametrize("algorithm,provider,config", [("RS256", "rsa-generated", {"keySize": ["2048"], "algorithm": ["RS256"]}),
                                                       ("ES256", "ecdsa-generated", {"ecdsaEllipticCurveKey": ["P-256"]})])
def test_a_key_that_is_rotated_is_followed_by_its_kid(gateway, keycloak, algorithm, provider, config):
    old = keycloak.token("kim", "shop-" + algorithm)
    gateway.takes(old)
    keycloak.rotate(algorithm, provider, config)
    new = keycloak.token("kim", "shop-" + algorithm)
    assert claims(new, 0)["kid"] != claims(old, 0)["kid"]
    gateway.takes(new)
    assert gateway.ask("GET", "/items", caller=old).status == 200  # it is published still


def test_what_is_not_this_realms_access_token_is_refused(gateway, keycloak):
    whole = keycloak.tokens("shop", grant_type="password", client_id="shop", username="kim", password="secret of kim", scope="openid")
    for bearer in (keycloak.token("kim", name="other"), whole["id_token"], whole["refresh_token"]):
        answer = wait_until(lambda: (lambda a: a.status == 401 and a)(gateway.ask("GET", "/items", caller=bearer)), "it to be refused")
        assert "invalid_token" in answer.headers["WWW-Authenticate"], answer
    hasty = keycloak.token("kim", "hasty")
    expired = wait_until(lambda: (lambda a: a.status == 401 and a)(gateway.ask("GET", "/items", caller=hasty)), "it to expire")
    assert claims(hasty)["exp"] <= time.time() and "expired" in expired.json["detail"]
