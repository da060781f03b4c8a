"""Uses ECR through boto3: log in, push, pull, list, delete.

The endpoint, the region and the keys come from the environment, as for every AWS tool.

    python ecr.py login                                          prints the password of the docker door
    python ecr.py push LAYOUT REPOSITORY:TAG                     puts the image or index of an OCI layout
    python ecr.py pull REPOSITORY(:TAG|@DIGEST) DIRECTORY [ARCHITECTURE]    writes an OCI layout
    python ecr.py tags REPOSITORY [PAGE-SIZE]                    lists the tags, a line each
    python ecr.py delete REPOSITORY(:TAG|@DIGEST)
    python ecr.py errors REPOSITORY                              makes calls that are refused, and prints `OPERATION CLASS` for each
"""

import base64
import json
import os
import sys
from pathlib import Path

import boto3
import requests

INDEXES = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"]
MANIFESTS = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"]

# Layers are fetched without boto3. boto3 reads this variable by itself.
TRUSTED = os.environ.get("AWS_CA_BUNDLE", True)


def login():
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    assert user == "AWS"
    print(password)


def blob_path(layout, digest):
    return Path(layout) / "blobs" / digest.replace(":", "/")


def push(layout, reference):
    name, image_id = parse(reference)
    index = json.loads((Path(layout) / "index.json").read_bytes())
    push_manifest(layout, name, index["manifests"][0], imageTag=image_id["imageTag"])


def push_manifest(layout, name, descriptor, **tag):
    """Pushes children before their index, and layers before their image."""
    data = blob_path(layout, descriptor["digest"]).read_bytes()
    manifest = json.loads(data)
    for child in manifest.get("manifests", []):
        push_manifest(layout, name, child)
    if "layers" in manifest:
        push_layers(layout, name, [manifest["config"], *manifest["layers"]])
    try:
        ecr.put_image(
            repositoryName=name, imageManifest=data.decode(), imageManifestMediaType=descriptor["mediaType"],
            imageDigest=descriptor["digest"], **tag,
        )  # fmt: skip
    except ecr.exceptions.ImageAlreadyExistsException:
        pass


def push_layers(layout, name, descriptors):
    digests = list(dict.fromkeys(layer["digest"] for layer in descriptors))
    for layer in ecr.batch_check_layer_availability(repositoryName=name, layerDigests=digests)["layers"]:
        if layer["layerAvailability"] == "AVAILABLE":
            digests.remove(layer["layerDigest"])
    for digest in digests:
        data = blob_path(layout, digest).read_bytes()
        upload = ecr.initiate_layer_upload(repositoryName=name)
        on = {"repositoryName": name, "uploadId": upload["uploadId"]}
        for first in range(0, len(data), upload["partSize"]):
            part = data[first : first + upload["partSize"]]
            ecr.upload_layer_part(**on, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part)
        ecr.complete_layer_upload(**on, layerDigests=[digest])


def get_image(name, image_id):
    answer = ecr.batch_get_image(repositoryName=name, imageIds=[image_id], acceptedMediaTypes=INDEXES + MANIFESTS)
    assert not answer["failures"], answer["failures"]
    return answer["images"][0]


def pull(reference, directory, architecture=None):
    name, image_id = parse(reference)
    image = get_image(name, image_id)
    if image["imageManifestMediaType"] in INDEXES:
        children = json.loads(image["imageManifest"])["manifests"]
        (child,) = [child for child in children if child["platform"]["architecture"] == architecture]
        image = get_image(name, {"imageDigest": child["digest"]})
    (Path(directory) / "blobs" / "sha256").mkdir(parents=True)
    manifest = json.loads(image["imageManifest"])
    for digest in (part["digest"] for part in [manifest["config"], *manifest["layers"]]):
        url = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=digest)["downloadUrl"]
        answer = requests.get(url, verify=TRUSTED, timeout=60)
        answer.raise_for_status()
        blob_path(directory, digest).write_bytes(answer.content)
    digest = image["imageId"]["imageDigest"]
    blob_path(directory, digest).write_text(image["imageManifest"])
    entry = {"mediaType": image["imageManifestMediaType"], "digest": digest, "size": len(image["imageManifest"])}
    (Path(directory) / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (Path(directory) / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def tags(name, page_size="100"):
    pages = ecr.get_paginator("list_images").paginate(
        repositoryName=name, filter={"tagStatus": "TAGGED"}, PaginationConfig={"PageSize": int(page_size)}
    )
    for page in pages:
        for image in page["imageIds"]:
            print(image["imageTag"])


def delete(reference):
    name, image_id = parse(reference)
    answer = ecr.batch_delete_image(repositoryName=name, imageIds=[image_id])
    assert not answer["failures"], answer["failures"]


def errors(name):
    """Makes calls that are refused. The repository must have immutable tags and two images, `v1` and `v2`."""
    on, nothing = {"repositoryName": name}, f"sha256:{'0' * 64}"
    manifest = get_image(name, {"imageTag": "v2"})["imageManifest"]
    asked = [
        ("CreateRepository", "RepositoryAlreadyExistsException", on),
        ("CreateRepository", "InvalidParameterException", {"repositoryName": "UPPER"}),
        ("DescribeRepositories", "RepositoryNotFoundException", {"repositoryNames": ["not/there"]}),
        ("DescribeImages", "ImageNotFoundException", {**on, "imageIds": [{"imageTag": "none"}]}),
        ("GetDownloadUrlForLayer", "LayersNotFoundException", {**on, "layerDigest": nothing}),
        ("CompleteLayerUpload", "UploadNotFoundException",
         {**on, "uploadId": "00000000-0000-0000-0000-000000000000", "layerDigests": [nothing]}),
        ("PutImage", "ImageAlreadyExistsException", {**on, "imageManifest": manifest, "imageTag": "v2"}),
        ("PutImage", "ImageTagAlreadyExistsException", {**on, "imageManifest": manifest, "imageTag": "v1"}),
        ("DeleteRepository", "RepositoryNotEmptyException", on),
    ]  # fmt: skip
    methods = {operation: method for method, operation in ecr.meta.method_to_api_mapping.items()}
    for operation, expected, members in asked:
        try:
            getattr(ecr, methods[operation])(**members)
        except getattr(ecr.exceptions, expected):
            print(operation, expected)


def parse(reference):
    name, _, digest = reference.partition("@")
    if digest:
        return name, {"imageDigest": digest}
    name, _, tag = reference.partition(":")
    return name, {"imageTag": tag}


def main(arguments):
    commands = {"login": login, "push": push, "pull": pull, "tags": tags, "delete": delete, "errors": errors}
    commands[arguments[0]](*map(str, arguments[1:]))


if __name__ == "__main__":
    ecr = boto3.client("ecr")
    main(sys.argv[1:])
