"""Pushes through a network that loses answers and cuts bodies. Whatever a client does next, the push must end with the complete image.

Most clients start the layer again with a new POST. If a client repeats bytes of an existing upload, they are refused, and never appended
twice.
"""

import copy
import http.client
import http.server
import socket
import threading

import pytest

from conftest import held, slug, versions
from drivers import Crane, Docker26, Docker28Classic, DockerClassic, Oras, Podman, Skopeo
from images import Image


class Between(http.server.ThreadingHTTPServer):
    """A proxy that makes the first request with a method to an upload fail."""

    daemon_threads = True

    def __init__(self, server, method, how):
        super().__init__(("127.0.0.1", 0), Relay)
        self.behind, self.method, self.how = server, method, how
        self.failed = threading.Lock()
        self.times = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def fails(self, method, path):
        """Returns true if this request must fail."""
        if method != self.method or "/blobs/uploads/" not in path or not self.failed.acquire(blocking=False):
            return False
        self.times += 1
        return True

    def handle_error(self, request, client_address):
        """Ignores errors, because a client may close its connection."""


class Relay(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        """Answers a TLS ClientHello with HTTP. Then docker's containerd store, which tries TLS first, uses plain HTTP."""
        if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            self.connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return
        super().handle()

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def relay(self):
        body = self.body()
        fails = self.server.fails(self.command, self.path)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("transfer-encoding", "content-length")}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind.port, timeout=60)
        if self.command not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(body))
        sent = body
        if fails and self.server.how == "cut":
            sent = body[: len(body) // 2]
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(sent)
        if fails and self.server.how == "cut":
            connection.sock.shutdown(1)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fails:
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None and answer.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = relay

    def log_message(self, *arguments):
        """Prints nothing, because the server's log has every request."""


@pytest.fixture(params=versions(DockerClassic, Docker26, Docker28Classic, Podman, Skopeo, Crane, Oras))
def driver(request):
    return request.param


@pytest.mark.parametrize(("method", "how"), [("PATCH", "lose"), ("PUT", "cut")])
def test_a_push_whose_request_fails_once_ends_in_the_whole_image(driver, method, how, installation, aws, password, tmp_path_factory):
    if installation.ca is not None:
        pytest.skip("the proxy speaks plain HTTP")
    name = f"lost/{method.lower()}-{how}/{slug(driver)}"
    aws.create_repository(repositoryName=name)
    between = Between(installation, method, how)
    server = copy.copy(installation)
    server.port = between.server_address[1]
    client = driver(server, tmp_path_factory.mktemp("lost"))
    image = Image({"base": b"base" * 5000}, {"data": f"{method} {how}".encode() * 20_000})
    try:
        client.start()
        client.login(password)
        reference = f"{server.host}/{name}:v1"
        try:
            client.push(image, reference)
        except AssertionError:
            # Some clients do not retry, so repeat the push as their users do.
            client.push(image, reference)
        assert set(held(aws, f"{server.host}/{name}")) == {"v1"}
        assert client.pull(reference) == image.files
    finally:
        client.stop()
        between.shutdown()
        between.server_close()
    # A client that sends no PATCH is not affected by a failing one.
    assert between.times == 1 or method == "PATCH"
