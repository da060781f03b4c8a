"""Kills the real binary with SIGKILL under eight pushers. After each restart every acknowledged image must exist, and none incompletely."""

import base64
import http.client
import json
import multiprocessing
import os
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from ecru import Ecru
from images import MANIFEST, OCI, digest

PUSHERS = 8
KILLS = 50
REPOSITORIES = [f"kill/app{n}" for n in range(4)]
# The server's lifetime between two kills, in seconds.
LIFE = (0.03, 0.45)
SEED = int(os.environ.get("ECRU_KILL_SEED", "1"))


class Registry:
    """A client of `/v2/` with one connection, which it reopens after a failure."""

    def __init__(self, port, password):
        self.port = port
        self.headers = {"Authorization": "Basic " + base64.b64encode(f"AWS:{password}".encode()).decode()}
        self.connection = None

    def call(self, method, path, body=b"", **headers):
        """Returns the status, headers and body of an answer. Raises OSError or HTTPException if the server is gone."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            self.connection.request(method, path, body, {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}})
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise

    def expect(self, status, method, path, body=b"", **headers):
        got, answer_headers, answer = self.call(method, path, body, **headers)
        assert got == status, f"{method} {path}: {got} {answer[:500]}"
        return answer_headers, answer


class Pusher:
    """Pushes one image after the other, with every method of upload, and sends each acknowledged image to the recorder."""

    def __init__(self, number, port, password, recorder, paused):
        self.number = number
        self.chance = random.Random(SEED * 1000 + number)
        self.registry = Registry(port, password)
        self.recorder = recorder
        self.paused = paused
        # All pushers share these layers, so that they push the same digests concurrently.
        self.shared = [random.Random(n).randbytes(20_000 + n * 30_000) for n in range(3)]

    def again(self, attempt):
        """Repeats an attempt until no kill interrupts it."""
        while True:
            self.paused.wait()
            try:
                return attempt()
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)

    def upload(self, name, data):
        path = f"/v2/{name}/blobs/uploads/"
        wanted = f"digest={digest(data)}"
        way = self.chance.choice(["post", "put", "patch", "chunks", "chunks"])
        if way == "post":
            return self.again(lambda: self.registry.expect(201, "POST", f"{path}?{wanted}", data))
        while True:
            headers, _ = self.again(lambda: self.registry.expect(202, "POST", path))
            location = headers["Location"].split(f":{self.registry.port}")[-1]
            closing = f"{location}{'&' if '?' in location else '?'}{wanted}"
            if way == "put":
                body = data
            elif self.send(location, data, len(data) if way == "patch" else max(1, len(data) // 4)):
                body = b""
            else:
                continue
            status, _, answer = self.again(lambda: self.registry.call("PUT", closing, body))
            assert status in (201, 404), f"PUT {closing}: {status} {answer}"
            if status == 201:
                return None

    def send(self, location, data, size):
        """Sends the bytes in chunks from the session's offset, also after a restart. Returns False if the session is gone."""
        at = 0
        while at < len(data):
            chunk = data[at : at + size]
            try:
                self.paused.wait()
                status, headers, answer = self.registry.call(
                    "PATCH", location, chunk, Content_Range=f"{at}-{at + len(chunk) - 1}", Content_Type="application/octet-stream"
                )
                if status == 202:
                    at += len(chunk)
                    continue
                assert status in (404, 416), f"PATCH {location}: {status} {answer}"
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            status, headers, answer = self.again(lambda: self.registry.call("GET", location))
            if status == 404:
                # The session was not durable yet.
                return False
            assert status == 204, f"GET {location}: {status} {answer}"
            last = int(headers["Range"].removeprefix("0-"))
            at = last + 1 if last else 0
        return True

    def push(self, number):
        name = self.chance.choice(REPOSITORIES)
        layers = [self.chance.randbytes(self.chance.choice([100, 5_000, 16_384, 16_385, 90_000]))]
        if self.chance.random() < 0.3:
            layers.append(self.chance.choice(self.shared))
        config = json.dumps({"os": "linux", "architecture": "amd64", "number": [self.number, number]}).encode()
        describe = lambda kind, data: {"mediaType": f"{OCI}.{kind}", "digest": digest(data), "size": len(data)}
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": describe("config.v1+json", config),
                "layers": [describe("layer.v1.tar+gzip", layer) for layer in layers],
            }
        ).encode()
        for blob in [config, *layers]:
            self.upload(name, blob)
        tag = f"t{self.number}-{number}"
        put = lambda: self.registry.expect(201, "PUT", f"/v2/{name}/manifests/{tag}", manifest, Content_Type=MANIFEST)
        self.again(put)
        blobs = {digest(blob): len(blob) for blob in [config, *layers]}
        record = {"name": name, "tag": tag, "digest": digest(manifest), "manifest": manifest.decode(), "blobs": blobs}
        self.recorder.sendall(json.dumps(record).encode() + b"\n")

    def run(self):
        number = 0
        while True:
            self.paused.wait()
            self.push(number)
            number += 1


def run_pusher(number, port, password, address, paused):
    recorder = socket.socket(socket.AF_UNIX)
    recorder.connect(address)
    Pusher(number, port, password, recorder, paused).run()


def run_recorder(listening, path):
    """Appends the records of pushers to a file, in a process that no kill affects."""
    from threading import Lock, Thread

    lock = Lock()
    with open(path, "ab", buffering=0) as file:

        def keep(connection):
            for line in connection.makefile("rb"):
                with lock:
                    file.write(line)

        while True:
            connection, _ = listening.accept()
            Thread(target=keep, args=(connection,), daemon=True).start()


def acknowledged(path):
    """Returns every complete line. An incomplete record is read the next time."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def check_image(registry, name, reference):
    """Pulls a whole image and checks every blob against its digest. Returns the manifest's bytes."""
    headers, manifest = registry.expect(200, "GET", f"/v2/{name}/manifests/{reference}")
    assert headers["Docker-Content-Digest"] == digest(manifest)
    parsed = json.loads(manifest)
    for descriptor in [parsed["config"], *parsed["layers"]]:
        _, data = registry.expect(200, "GET", f"/v2/{name}/blobs/{descriptor['digest']}")
        assert len(data) == descriptor["size"] and digest(data) == descriptor["digest"], f"{name} {reference} {descriptor}"
    return manifest


def check(server, password, records):
    """Checks that every acknowledged image can be pulled unchanged, and that every listed image is complete."""
    ecr = client(server)

    def check_repository(name):
        registry = Registry(server.port, password)
        pages = ecr.get_paginator("list_images").paginate(repositoryName=name, PaginationConfig={"PageSize": 1000})
        listed = [i for page in pages for i in page["imageIds"]]
        tags = {i["imageTag"]: i["imageDigest"] for i in listed if "imageTag" in i}
        manifests = {}
        for image in listed:
            if image["imageDigest"] not in manifests:
                manifests[image["imageDigest"]] = check_image(registry, name, image["imageDigest"]).decode()
        for record in (r for r in records if r["name"] == name):
            what = f"{name}:{record['tag']}, which was acknowledged,"
            assert record["tag"] in tags, f"{what} is gone"
            assert tags[record["tag"]] == record["digest"], f"{what} is another image"
            assert manifests[record["digest"]] == record["manifest"], f"{what} has another manifest"
        return len(manifests)

    with ThreadPoolExecutor(len(REPOSITORIES)) as pool:
        return sum(pool.map(check_repository, REPOSITORIES))


def client(server):
    key, secret = server.keys()
    return boto3.client(
        "ecr", endpoint_url=f"http://127.0.0.1:{server.port}", region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


@pytest.mark.timeout(600)
def test_fifty_kills_lose_no_acknowledged_image_and_show_no_incomplete_one(tmp_path, engine):
    chance = random.Random(SEED)
    server = Ecru(tmp_path / "ecru", engine).start()
    ecr = client(server)
    for name in REPOSITORIES:
        ecr.create_repository(repositoryName=name)
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().removeprefix("AWS:")

    processes = multiprocessing.get_context("fork")
    listening = socket.socket(socket.AF_UNIX)
    address = str(tmp_path / "recorder")
    listening.bind(address)
    listening.listen()
    acknowledgements = tmp_path / "acknowledged"
    acknowledgements.touch()
    go = processes.Event()
    workers = [processes.Process(target=run_recorder, args=(listening, acknowledgements), daemon=True)]
    workers += [processes.Process(target=run_pusher, args=(n, server.port, password, address, go), daemon=True) for n in range(PUSHERS)]
    for worker in workers:
        worker.start()
    counts = []
    try:
        for kill in range(KILLS):
            go.set()
            time.sleep(chance.uniform(*LIFE))
            server.kill()
            # Pause the pushers during the check, so that it sees the state after the restart.
            go.clear()
            server.start()
            records = acknowledged(acknowledgements)
            shown = check(server, password, records)
            counts.append(len(records))
            dead = [worker for worker in workers if not worker.is_alive()]
            assert not dead, f"after kill {kill} {len(dead)} of {len(workers)} workers ended; seed {SEED}"
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    assert counts[-1] >= KILLS, f"only {counts[-1]} images were acknowledged, too few for this test"
    print(f"\n{KILLS} kills, {counts[-1]} images acknowledged, {shown} shown, none lost or half; seed {SEED}")
    server.stop()
