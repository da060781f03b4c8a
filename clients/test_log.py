"""Tests of the log: one line for each request, with its id, and without credentials."""

import base64
import http.client

import requests

from conftest import Shell
from ecru import Ecru
from images import digest


def spellings(url, host):
    """Returns variants of a signed URL, as clients and proxies misspell it. Each would be a credential if it were logged whole."""
    path, _, query = url.removeprefix("http://").partition("/")[2].partition("?")
    yield from (f"/{path}{parting}{query}" for parting in ("?", "%3F", "%3f", "%253F", "%25253F", ";", "%3B", "&", "/", "%23", "%00"))
    yield f"/{path}%3F{query.replace('=', '%3D').replace('&', '%26')}"
    yield f"//{path}?{query}"
    yield f"/proxy/{path}%3F{query}"
    yield f"http://user:the-password-of-a-proxy@{host}/{path}%3F{query}"
    yield f"/http://user:the-password-of-a-proxy@{host}/{path}?{query}"


def test_no_log_contains_a_valid_signature_in_any_spelling_of_its_url(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine, "--log-level", "debug", "--redirect-layers=true").start()
    try:
        shell = Shell(server, server.directory)
        shell.aws("ecr", "create-repository", "--repository-name", "quiet")
        basic = ("AWS", shell.run("aws", "ecr", "get-login-password").stdout.strip())
        layer = b"layer" * 10_000
        requests.post(f"{server.url}/v2/quiet/blobs/uploads/?digest={digest(layer)}", data=layer, auth=basic, timeout=10)
        blob = f"{server.url}/v2/quiet/blobs/{digest(layer)}"
        url = requests.get(blob, auth=basic, allow_redirects=False, timeout=10).headers["Location"]
        ids = []
        for target in spellings(url, server.host):
            connection = http.client.HTTPConnection(server.host, timeout=10)
            connection.putrequest("GET", target, skip_host=True)
            connection.putheader("Host", server.host)
            connection.putheader("Referer", url)
            connection.putheader("User-Agent", f"lost/1.0 {url}")
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            ids.append(answer.headers["x-amzn-RequestId"])
        assert requests.get(url, timeout=10).content == layer, "the signature is not valid"
    finally:
        server.stop()
    log = server.log.read_text()
    assert all(log.count(request_id) for request_id in ids)
    signature = url.rpartition("=")[2]
    assert len(signature) > 40 and signature not in log
    assert "the-password-of-a-proxy" not in log


def test_the_most_verbose_log_contains_no_token_secret_or_signature(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine, "--log-level", "debug", "--redirect-layers=true").start()
    try:
        shell = Shell(server, server.directory)
        shell.aws("ecr", "create-repository", "--repository-name", "quiet")
        password = shell.run("aws", "ecr", "get-login-password").stdout.strip()
        basic = ("AWS", password)
        layer = b"layer" * 10_000
        answers = [requests.post(f"{server.url}/v2/quiet/blobs/uploads/?digest={digest(layer)}", data=layer, auth=basic, timeout=10)]
        redirect = requests.get(f"{server.url}/v2/quiet/blobs/{digest(layer)}", auth=basic, allow_redirects=False, timeout=10)
        assert redirect.status_code == 307
        url = redirect.headers["Location"]
        pulled = requests.get(url, timeout=10)
        assert pulled.content == layer
        answers += [redirect, pulled]
        # Refused requests log more, so send wrong signatures and tokens of every kind.
        wrong_url = url[:-1] + ("A" if url[-1] != "A" else "B")
        answers.append(requests.get(wrong_url, timeout=10))
        assert answers[-1].status_code == 403
        for authorization in ("Bearer a-bearer-token", "Basic " + base64.b64encode(b"AWS:a-wrong-password").decode(), "Basic !!!"):
            answers.append(requests.get(f"{server.url}/v2/", headers={"Authorization": authorization}, timeout=10))
            assert 400 <= answers[-1].status_code < 500
        shell.run("aws", "ecr", "describe-repositories", check=False, AWS_SECRET_ACCESS_KEY="another-secret-of-a-client")
        secrets = [password, server.keys()[1], "a-bearer-token", "a-wrong-password", "another-secret-of-a-client", "Signature="]
        secrets += [requests.auth._basic_auth_str(*basic).removeprefix("Basic "), base64.b64encode(b"AWS:a-wrong-password").decode()]
        for link in (url, wrong_url):
            secrets += [part.partition("=")[2] for part in link.partition("?")[2].split("&") if len(part.partition("=")[2]) >= 20]
        assert len(secrets) >= 9, f"no signature was found in {url}"
    finally:
        server.stop()
    lines = server.log.read_text().splitlines()
    for secret in secrets:
        assert not [line for line in lines if secret in line], f"{secret} is in the log"
    for answer in answers:
        request_id = answer.headers["x-amzn-RequestId"]
        assert len([line for line in lines if request_id in line and "http.status" in line]) == 1, request_id
