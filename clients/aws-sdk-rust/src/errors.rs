//! Makes calls that are refused, and prints the variant of each error: `OPERATION CLASS`.

use aws_sdk_ecr::Client;
use aws_sdk_ecr::error::SdkError;
use aws_sdk_ecr::types::ImageIdentifier;

use crate::{Result, pull};

/// The repository must have immutable tags and two images, `v1` and `v2`.
pub async fn errors(ecr: &Client, repository: &str) -> Result<()> {
    let tagged = |tag: &str| ImageIdentifier::builder().image_tag(tag).build();
    let v2 = pull::image(ecr, repository, tagged("v2")).await?;
    let manifest = v2.image_manifest().unwrap_or_default();
    let nothing = format!("sha256:{}", "0".repeat(64));

    let asked = ecr.create_repository().repository_name(repository).send().await;
    told("CreateRepository", asked, "RepositoryAlreadyExistsException", |e| e.is_repository_already_exists_exception());
    let asked = ecr.create_repository().repository_name("UPPER").send().await;
    told("CreateRepository", asked, "InvalidParameterException", |e| e.is_invalid_parameter_exception());
    let asked = ecr.describe_repositories().repository_names("not/there").send().await;
    told("DescribeRepositories", asked, "RepositoryNotFoundException", |e| e.is_repository_not_found_exception());
    let asked = ecr.describe_images().repository_name(repository).image_ids(tagged("none")).send().await;
    told("DescribeImages", asked, "ImageNotFoundException", |e| e.is_image_not_found_exception());
    let asked = ecr.get_download_url_for_layer().repository_name(repository).layer_digest(&nothing).send().await;
    told("GetDownloadUrlForLayer", asked, "LayersNotFoundException", |e| e.is_layers_not_found_exception());
    let upload =
        ecr.complete_layer_upload().repository_name(repository).upload_id("00000000-0000-0000-0000-000000000000");
    let asked = upload.layer_digests(&nothing).send().await;
    told("CompleteLayerUpload", asked, "UploadNotFoundException", |e| e.is_upload_not_found_exception());
    let put = ecr.put_image().repository_name(repository).image_manifest(manifest);
    let asked = put.clone().image_tag("v2").send().await;
    told("PutImage", asked, "ImageAlreadyExistsException", |e| e.is_image_already_exists_exception());
    let asked = put.image_tag("v1").send().await;
    told("PutImage", asked, "ImageTagAlreadyExistsException", |e| e.is_image_tag_already_exists_exception());
    let asked = ecr.delete_repository().repository_name(repository).send().await;
    told("DeleteRepository", asked, "RepositoryNotEmptyException", |e| e.is_repository_not_empty_exception());
    Ok(())
}

fn told<T: std::fmt::Debug, E: std::fmt::Debug>(
    operation: &str,
    asked: std::result::Result<T, SdkError<E>>,
    expected: &str,
    is_expected: impl Fn(&E) -> bool,
) {
    match asked {
        Err(error) if error.as_service_error().is_some_and(is_expected) => println!("{operation} {expected}"),
        other => println!("{operation} {other:?}"),
    }
}
