// Uses ECR through the AWS SDK for JavaScript v3: log in, push, pull, list, delete.
// The endpoint, the region and the keys come from the environment, as for every AWS tool.
//
//   node ecr.mjs login                                          prints the password of the docker door
//   node ecr.mjs push LAYOUT REPOSITORY:TAG                     puts the image or index of an OCI layout
//   node ecr.mjs pull REPOSITORY(:TAG|@DIGEST) DIRECTORY [ARCHITECTURE]    writes an OCI layout
//   node ecr.mjs tags REPOSITORY [PAGE-SIZE]                    lists the tags, a line each
//   node ecr.mjs delete REPOSITORY(:TAG|@DIGEST)
//   node ecr.mjs errors REPOSITORY                              see errors.mjs
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
    BatchCheckLayerAvailabilityCommand,
    BatchDeleteImageCommand,
    BatchGetImageCommand,
    CompleteLayerUploadCommand,
    ECRClient,
    GetAuthorizationTokenCommand,
    GetDownloadUrlForLayerCommand,
    ImageAlreadyExistsException,
    InitiateLayerUploadCommand,
    paginateListImages,
    PutImageCommand,
    UploadLayerPartCommand,
} from "@aws-sdk/client-ecr";
import { errors } from "./errors.mjs";

const INDEXES = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

const ecr = new ECRClient({});

async function login() {
    const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}));
    const [user, password] = Buffer.from(authorizationData[0].authorizationToken, "base64").toString().split(":");
    if (user !== "AWS") throw new Error(`the token is ${user}'s`);
    console.log(password);
}

const blobPath = (layout, digest) => join(layout, "blobs", ...digest.split(":"));

async function push(layout, reference) {
    const { repositoryName, imageId } = parse(reference);
    const index = JSON.parse(await readFile(join(layout, "index.json")));
    await pushManifest(layout, repositoryName, index.manifests[0], imageId.imageTag);
}

// Pushes children before their index, and layers before their image.
async function pushManifest(layout, repositoryName, { digest, mediaType }, imageTag) {
    const bytes = await readFile(blobPath(layout, digest));
    const manifest = JSON.parse(bytes);
    for (const child of manifest.manifests ?? []) await pushManifest(layout, repositoryName, child);
    if (manifest.layers) await pushLayers(layout, repositoryName, [manifest.config, ...manifest.layers]);
    const image = { repositoryName, imageTag, imageManifest: bytes.toString(), imageManifestMediaType: mediaType, imageDigest: digest };
    try {
        await ecr.send(new PutImageCommand(image));
    } catch (error) {
        if (!(error instanceof ImageAlreadyExistsException)) throw error;
    }
}

async function pushLayers(layout, repositoryName, descriptors) {
    const layerDigests = [...new Set(descriptors.map((layer) => layer.digest))];
    const { layers } = await ecr.send(new BatchCheckLayerAvailabilityCommand({ repositoryName, layerDigests }));
    const there = new Set(layers.filter((layer) => layer.layerAvailability === "AVAILABLE").map((layer) => layer.layerDigest));
    for (const digest of layerDigests.filter((digest) => !there.has(digest))) {
        const bytes = await readFile(blobPath(layout, digest));
        const { uploadId, partSize } = await ecr.send(new InitiateLayerUploadCommand({ repositoryName }));
        for (let partFirstByte = 0; partFirstByte < bytes.length; partFirstByte += partSize) {
            const layerPartBlob = bytes.subarray(partFirstByte, partFirstByte + partSize);
            const partLastByte = partFirstByte + layerPartBlob.length - 1;
            await ecr.send(new UploadLayerPartCommand({ repositoryName, uploadId, partFirstByte, partLastByte, layerPartBlob }));
        }
        await ecr.send(new CompleteLayerUploadCommand({ repositoryName, uploadId, layerDigests: [digest] }));
    }
}

async function getImage(repositoryName, imageId) {
    const acceptedMediaTypes = [...INDEXES, ...MANIFESTS];
    const { images, failures } = await ecr.send(new BatchGetImageCommand({ repositoryName, imageIds: [imageId], acceptedMediaTypes }));
    if (failures.length > 0) throw new Error(`${failures[0].failureCode}: ${failures[0].failureReason}`);
    return images[0];
}

async function pull(reference, directory, architecture) {
    const { repositoryName, imageId } = parse(reference);
    let image = await getImage(repositoryName, imageId);
    if (INDEXES.includes(image.imageManifestMediaType)) {
        const child = JSON.parse(image.imageManifest).manifests.find((child) => child.platform.architecture === architecture);
        image = await getImage(repositoryName, { imageDigest: child.digest });
    }
    await mkdir(join(directory, "blobs", "sha256"), { recursive: true });
    const manifest = JSON.parse(image.imageManifest);
    for (const { digest } of [manifest.config, ...manifest.layers]) {
        const { downloadUrl } = await ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName, layerDigest: digest }));
        const answer = await fetch(downloadUrl);
        if (!answer.ok) throw new Error(`${digest}: ${answer.status}`);
        await writeFile(blobPath(directory, digest), Buffer.from(await answer.arrayBuffer()));
    }
    const digest = image.imageId.imageDigest;
    await writeFile(blobPath(directory, digest), image.imageManifest);
    const entry = { mediaType: image.imageManifestMediaType, digest, size: Buffer.byteLength(image.imageManifest) };
    await writeFile(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
    await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

async function tags(repositoryName, pageSize) {
    const query = { repositoryName, filter: { tagStatus: "TAGGED" } };
    for await (const page of paginateListImages({ client: ecr, pageSize: Number(pageSize ?? 100) }, query)) {
        for (const { imageTag } of page.imageIds) console.log(imageTag);
    }
}

async function remove(reference) {
    const { repositoryName, imageId } = parse(reference);
    const { failures } = await ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds: [imageId] }));
    if (failures.length > 0) throw new Error(`${failures[0].failureCode}: ${failures[0].failureReason}`);
}

function parse(reference) {
    const [name, imageDigest] = reference.split("@");
    if (imageDigest) return { repositoryName: name, imageId: { imageDigest } };
    const [repositoryName, imageTag] = reference.split(":");
    return { repositoryName, imageId: { imageTag } };
}

const commands = { login, push, pull, tags, delete: remove, errors: (repository) => errors(ecr, repository) };
const [command, ...given] = process.argv.slice(2);
if (!(command in commands)) throw new Error(`usage: node ecr.mjs ${Object.keys(commands).join("|")} …`);
await commands[command](...given);
