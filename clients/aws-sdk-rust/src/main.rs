//! Uses ECR through the AWS SDK for Rust: log in, push, pull, list, delete.
//!
//! The endpoint, the region and the keys come from the environment, as for every AWS tool. The trusted certificates come from the
//! system or from `SSL_CERT_FILE`.
//!
//! ```text
//! aws-sdk-rust login                                          prints the password of the docker door
//! aws-sdk-rust push LAYOUT REPOSITORY:TAG                     puts the image or index of an OCI layout
//! aws-sdk-rust pull REPOSITORY(:TAG|@DIGEST) DIRECTORY [ARCHITECTURE]    writes an OCI layout
//! aws-sdk-rust tags REPOSITORY [PAGE-SIZE]                    lists the tags, a line each
//! aws-sdk-rust delete REPOSITORY(:TAG|@DIGEST)
//! aws-sdk-rust errors REPOSITORY                              see errors.rs
//! aws-sdk-rust version
//! ```

mod errors;
mod pull;
mod push;

use aws_config::BehaviorVersion;
use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{ImageIdentifier, ListImagesFilter, TagStatus};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The TLS stack for the API and for the layers' URLs.
const TLS: Provider = Provider::Rustls(CryptoMode::AwsLc);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let http = aws_smithy_http_client::Builder::new().tls_provider(TLS).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let ecr = Client::new(&config);
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    match given[..] {
        ["login"] => login(&ecr).await,
        ["push", layout, reference] => push::push(&ecr, layout.as_ref(), reference).await,
        ["pull", reference, directory] => pull::pull(&ecr, reference, directory.as_ref(), None).await,
        ["pull", reference, directory, architecture] => {
            pull::pull(&ecr, reference, directory.as_ref(), Some(architecture)).await
        }
        ["tags", repository] => tags(&ecr, repository, 100).await,
        ["tags", repository, page_size] => tags(&ecr, repository, page_size.parse()?).await,
        ["delete", reference] => delete(&ecr, reference).await,
        ["errors", repository] => errors::errors(&ecr, repository).await,
        ["version"] => {
            println!("aws-sdk-ecr {}", aws_sdk_ecr::meta::PKG_VERSION);
            Ok(())
        }
        _ => Err("usage: aws-sdk-rust login|push|pull|tags|delete|errors|version …".into()),
    }
}

async fn login(ecr: &Client) -> Result<()> {
    let answer = ecr.get_authorization_token().send().await?;
    let token = answer.authorization_data()[0].authorization_token().ok_or("there is no token")?;
    let token = String::from_utf8(aws_smithy_types::base64::decode(token)?)?;
    println!("{}", token.strip_prefix("AWS:").ok_or("the token is not AWS's")?);
    Ok(())
}

async fn tags(ecr: &Client, repository: &str, page_size: i32) -> Result<()> {
    let tagged = ListImagesFilter::builder().tag_status(TagStatus::Tagged).build();
    let mut images = ecr
        .list_images()
        .repository_name(repository)
        .filter(tagged)
        .into_paginator()
        .page_size(page_size)
        .items()
        .send();
    while let Some(image) = images.next().await {
        println!("{}", image?.image_tag().ok_or("an image without a tag")?);
    }
    Ok(())
}

async fn delete(ecr: &Client, reference: &str) -> Result<()> {
    let (repository, image) = parse(reference)?;
    let answer = ecr.batch_delete_image().repository_name(repository).image_ids(image).send().await?;
    match answer.failures() {
        [] => Ok(()),
        [failure, ..] => Err(format!("{failure:?}").into()),
    }
}

/// Splits `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
fn parse(reference: &str) -> Result<(&str, ImageIdentifier)> {
    let image = ImageIdentifier::builder();
    if let Some((repository, digest)) = reference.split_once('@') {
        return Ok((repository, image.image_digest(digest).build()));
    }
    let (repository, tag) = reference.split_once(':').ok_or("REPOSITORY:TAG or REPOSITORY@DIGEST is wanted")?;
    Ok((repository, image.image_tag(tag).build()))
}

/// Returns the path of a digest's bytes in an OCI layout.
fn blob_path(layout: &std::path::Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}
