"""Every client that the cases run for, in the order of the matrix."""

from drivers.aws_cli import AwsCli1, AwsCli2
from drivers.buildah import Buildah, BuildahForky
from drivers.cdk_assets import CdkAssets
from drivers.containerd import Ctr16, Ctr21
from drivers.cosign import Cosign
from drivers.crane import Crane
from drivers.docker import Docker26, Docker28, Docker28Classic, DockerClassic
from drivers.helm import Helm
from drivers.notation import Notation
from drivers.oras import Oras
from drivers.podman import Podman, PodmanForky
from drivers.sdk import AwsSdkJs, AwsSdkRust, Boto3
from drivers.skopeo import Skopeo, SkopeoForky
from drivers.umoci import Umoci, UmociForky

CLIENTS = [
    AwsCli1,
    AwsCli2,
    DockerClassic,
    Docker26,
    Docker28,
    Docker28Classic,
    Ctr16,
    Ctr21,
    Podman,
    PodmanForky,
    Buildah,
    BuildahForky,
    Skopeo,
    SkopeoForky,
    Umoci,
    UmociForky,
    Crane,
    Oras,
    Cosign,
    Notation,
    Helm,
    CdkAssets,
    Boto3,
    AwsSdkJs,
    AwsSdkRust,
]
