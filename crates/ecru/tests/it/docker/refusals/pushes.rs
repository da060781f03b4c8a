//! What a refused push tells its user.

use super::*;

#[tokio::test]
async fn a_push_that_goes_nowhere_is_told_where_it_could_go() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let long = "team/".repeat(15) + "app";
    for name in ["team/app", &long] {
        let plain = format!("The repository with name '{name}' does not exist in the registry with id '000000000000'");
        let create = format!("create it with: aws ecr create-repository --repository-name {name} --region us-east-1");
        for answer in [
            docker.post(&format!("/v2/{name}/blobs/uploads/"), "").await,
            docker.put_manifest(name, "v1", &Image::new(1)).await,
        ] {
            tells(
                &app,
                answer,
                (404, "NAME_UNKNOWN"),
                &format!("{plain}. {}", sentence(&create)),
                &format!("Not Found: no such repository; {create}"),
            );
        }
    }
    let pattern = oci::RepositoryName::PATTERN;
    tells(
        &app,
        docker.post("/v2/Team/App/blobs/uploads/", "").await,
        (400, "NAME_INVALID"),
        &format!(
            "Invalid parameter at 'repositoryName' failed to satisfy constraint: \
             'must satisfy regular expression '{pattern}'': 'Team/App'. Write it in lower case: team/app"
        ),
        "Bad Request: invalid repositoryName 'Team/App'; write it in lower case: team/app",
    );
    let tag =
        "'-x' is not a tag: a tag has 1 to 128 characters: a letter, a digit or _, then letters, digits, . _ and -";
    tells(
        &app,
        docker.put("/v2/app/manifests/-x", "{}").await,
        (400, "TAG_INVALID"),
        tag,
        &format!("Bad Request: {tag}"),
    );
}

#[tokio::test]
async fn an_immutable_tag_says_what_it_holds_and_both_ways_out() {
    let app = TestApp::start().await;
    app.ecr("CreateRepository", json!({"repositoryName": "app", "imageTagMutability": "IMMUTABLE"})).await.ok();
    let docker = app.administrator().docker().await;
    let (one, two) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &one).await;
    docker.push_blobs("app", &two).await;
    let short = &one.digest()[..19];
    tells(
        &app,
        docker.put_manifest("app", "v1", &two).await,
        (400, "TAG_INVALID"),
        &format!(
            "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable. \
             It holds {} since 2026-11-21T10:00:00Z. Push another tag, or delete this one first: \
             aws ecr batch-delete-image --repository-name app --image-ids imageTag=v1 --region us-east-1",
            one.digest()
        ),
        &format!(
            "Bad Request: tag v1 is immutable and holds {short} since 2026-11-21; push another tag, or delete this one first"
        ),
    );
}

#[tokio::test]
async fn a_manifest_is_told_what_is_wrong_with_it() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let put = async |media_type: &str, text: &str| {
        let call = docker.call("PUT", "/v2/app/manifests/v1").header("content-type", media_type.to_owned());
        docker.send(call.body(text.to_owned())).await
    };
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let invalid = (400, "MANIFEST_INVALID");
    for (media_type, text, message, cure) in [
        (
            "",
            "{\"schemaVersion\": 2}",
            "the manifest's media type is unknown: neither its mediaType nor the request names it",
            "name its type in Content-Type",
        ),
        (
            "text/plain",
            "{\"schemaVersion\": 2}",
            "text/plain is not the media type of a manifest",
            "push an OCI image or index, or a Docker schema 2 image or list (skopeo copy --format oci makes one)",
        ),
        (
            oci,
            "{\"schemaVersion\": 2}",
            "the manifest's config: the member is missing",
            "build the image again with a tool that writes this right",
        ),
        (oci, "[]", "the manifest is not JSON: the value is not an object", "send the manifest's own bytes, whole"),
        (
            oci,
            "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.index.v1+json\"}",
            &format!("the manifest says application/vnd.oci.image.index.v1+json, the request says {oci}"),
            "send as Content-Type what the manifest's mediaType says",
        ),
    ] {
        let answer = put(media_type, text).await;
        let body = format!("{message}. {}", sentence(cure));
        let phrase = format!("Bad Request: {message}; {cure}");
        let phrase = if phrase.len() > 200 { format!("Bad Request: {message}") } else { phrase };
        tells(&app, answer, invalid, &body, &phrase);
    }
    let large = "move what its annotations hold into a layer, or split the index";
    tells(
        &app,
        put(oci, &"x".repeat(4 * 1024 * 1024 + 1)).await,
        (413, "SIZE_INVALID"),
        &format!("the manifest is larger than 4194304 bytes. {}", sentence(large)),
        &format!("Payload Too Large: the manifest is larger than 4194304 bytes; {large}"),
    );
}

#[tokio::test]
async fn a_manifest_is_told_what_has_to_be_pushed_before_it() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let (image, other) = (Image::new(1), Image::new(2));
    let missing: Vec<String> = image.blobs.iter().map(|blob| digest(blob)).collect();
    let answer = docker.put_manifest("app", "v1", &image).await;
    let config = missing.iter().find(|digest| answer.message().contains(&format!("[{digest},"))).unwrap().clone();
    tells(
        &app,
        answer.clone(),
        (404, "MANIFEST_BLOB_UNKNOWN"),
        &format!(
            "Layers with digests '[{config}, {}]' required for pushing image into repository with name 'app' in the registry \
             with id '000000000000' do not exist. Push them to this repository first: it sees only its own layers",
            missing.iter().filter(|digest| **digest != config).cloned().collect::<Vec<_>>().join(", ")
        ),
        &format!(
            "Not Found: layers {} and others do not exist in the repository 'app'; \
             push them to this repository first: it sees only its own layers",
            &config[..19]
        ),
    );
    let index = Image::index(&[&other]);
    tells(
        &app,
        docker.put_manifest("app", "v1", &index).await,
        (404, "MANIFEST_BLOB_UNKNOWN"),
        &format!(
            "Images with digests '[{}]' required for pushing image into repository with name 'app' in the registry \
             with id '000000000000' do not exist. Push what an index lists to this repository first, and the index last",
            other.digest()
        ),
        &format!(
            "Not Found: images {} do not exist in the repository 'app'; \
             push what an index lists to this repository first, and the index last",
            &other.digest()[..19]
        ),
    );
    tells(
        &app,
        docker.put_manifest("app", &other.digest(), &image).await,
        (400, "DIGEST_INVALID"),
        &format!(
            "Image digest '{}' does not match the digest of the manifest, '{}'. \
             Put the manifest by its own digest or by a tag, byte for byte as it was made",
            other.digest(),
            image.digest()
        ),
        &format!(
            "Bad Request: digest {} does not match {}; \
             put the manifest by its own digest or by a tag, byte for byte as it was made",
            &other.digest()[..19],
            &image.digest()[..19]
        ),
    );
}

#[tokio::test]
async fn an_upload_is_told_where_it_stands_and_how_to_go_on() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let (right, wrong) = (digest(b"right"), digest(b"wrong"));
    let upload = docker.start_upload("app").await;
    let again = "upload the layer again, byte for byte as it was made";
    tells(
        &app,
        docker.put(&with_query(&upload, &format!("digest={right}")), "wrong").await,
        (400, "DIGEST_INVALID"),
        &format!(
            "Layer digest '{right}' does not match the digest of the uploaded bytes, '{wrong}'. {}",
            sentence(again)
        ),
        &format!("Bad Request: digest {} does not match {}; {again}", &right[..19], &wrong[..19]),
    );
    let upload = location(&docker.patch_at(&upload, 0, "0123456789").await.expect(202));
    let part = "The part begins at byte 20, but the upload has 10 bytes";
    let gap = docker.patch_at(&upload, 20, "x").await;
    assert_eq!(gap.header("range"), Some("0-9"));
    tells(
        &app,
        gap,
        (416, "BLOB_UPLOAD_INVALID"),
        &format!("{part}. Go on at byte 10"),
        &format!("Range Not Satisfiable: {part}; go on at byte 10"),
    );
    let id = "00000000-0000-8000-8000-000000000000";
    let start = "start this layer again: an upload lives 24 h, and ends with its layer or when it is cancelled";
    for answer in [
        docker.patch(&format!("/v2/app/blobs/uploads/{id}"), "x").await,
        docker.get(&format!("/v2/app/blobs/uploads/{id}")).await,
    ] {
        tells(
            &app,
            answer,
            (404, "BLOB_UPLOAD_UNKNOWN"),
            &format!(
                "The upload with id '{id}' does not exist in the repository with name 'app' in the registry \
                 with id '000000000000'. {}",
                sentence(start)
            ),
            &format!("Not Found: the upload '{id}' does not exist; {start}"),
        );
    }
}
