// Makes calls that are refused, and prints the class of each error: `OPERATION CLASS`.
// REPOSITORY must have immutable tags and two images, `v1` and `v2`.
import {
    BatchGetImageCommand,
    CompleteLayerUploadCommand,
    CreateRepositoryCommand,
    DeleteRepositoryCommand,
    DescribeImagesCommand,
    DescribeRepositoriesCommand,
    GetDownloadUrlForLayerCommand,
    ImageAlreadyExistsException,
    ImageNotFoundException,
    ImageTagAlreadyExistsException,
    InvalidParameterException,
    LayersNotFoundException,
    PutImageCommand,
    RepositoryAlreadyExistsException,
    RepositoryNotEmptyException,
    RepositoryNotFoundException,
    UploadNotFoundException,
} from "@aws-sdk/client-ecr";

export async function errors(ecr, repositoryName) {
    const imageIds = [{ imageTag: "v2" }];
    const { images } = await ecr.send(new BatchGetImageCommand({ repositoryName, imageIds }));
    const imageManifest = images[0].imageManifest;
    const nothing = `sha256:${"0".repeat(64)}`;
    const uploadId = "00000000-0000-0000-0000-000000000000";
    const asked = [
        [new CreateRepositoryCommand({ repositoryName }), RepositoryAlreadyExistsException],
        [new CreateRepositoryCommand({ repositoryName: "UPPER" }), InvalidParameterException],
        [new DescribeRepositoriesCommand({ repositoryNames: ["not/there"] }), RepositoryNotFoundException],
        [new DescribeImagesCommand({ repositoryName, imageIds: [{ imageTag: "none" }] }), ImageNotFoundException],
        [new GetDownloadUrlForLayerCommand({ repositoryName, layerDigest: nothing }), LayersNotFoundException],
        [new CompleteLayerUploadCommand({ repositoryName, uploadId, layerDigests: [nothing] }), UploadNotFoundException],
        [new PutImageCommand({ repositoryName, imageManifest, imageTag: "v2" }), ImageAlreadyExistsException],
        [new PutImageCommand({ repositoryName, imageManifest, imageTag: "v1" }), ImageTagAlreadyExistsException],
        [new DeleteRepositoryCommand({ repositoryName }), RepositoryNotEmptyException],
    ];
    for (const [command, expected] of asked) {
        try {
            await ecr.send(command);
        } catch (error) {
            const operation = command.constructor.name.replace(/Command$/, "");
            console.log(operation, error instanceof expected ? expected.name : error);
        }
    }
}
