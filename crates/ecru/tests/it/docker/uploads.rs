use testkit::{Docker, TestApp, chance, digest, location, with_query};

async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    app
}

async fn stored(docker: &Docker<'_>, bytes: &[u8]) -> bool {
    let answer = docker.get(&format!("/v2/app/blobs/{}", digest(bytes))).await;
    assert!(answer.status == 404 || answer.body == bytes);
    answer.status == 200
}

#[tokio::test]
async fn an_upload_opens_with_all_that_a_client_needs() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let answer = docker.post("/v2/app/blobs/uploads/", "").await.expect(202);
    let id = answer.header("docker-upload-uuid").unwrap().to_owned();
    assert_eq!(location(&answer), format!("/v2/app/blobs/uploads/{id}.0"));
    assert_eq!(answer.header("range"), Some("0-0"));
    assert_eq!(answer.header("content-length"), Some("0"));
    docker.post("/v2/gone/blobs/uploads/", "").await.expect(404);
}

#[tokio::test]
async fn a_blob_is_streamed_by_patch_and_closed_by_put() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, size) in [(1, 1), (2, 16 * 1024), (3, 16 * 1024 + 1), (4, 3_000_000)] {
        let bytes = chance::bytes(seed, size);
        let d = digest(&bytes);
        let upload = docker.start_upload("app").await;
        let patched = docker.patch(&upload, bytes.clone()).await.expect(202);
        assert_eq!(patched.header("range"), Some(format!("0-{}", size - 1).as_str()));
        let put = docker.put(&with_query(&location(&patched), &format!("digest={d}")), "").await.expect(201);
        assert_eq!(location(&put), format!("/v2/app/blobs/{d}"));
        assert_eq!(put.header("docker-content-digest"), Some(d.as_str()));
        assert!(stored(&docker, &bytes).await, "{size}");
    }
}

#[tokio::test]
async fn a_blob_comes_in_one_post_or_one_put() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, size) in [(1, 0), (2, 100), (3, 100_000)] {
        let (one, two) = (chance::bytes(seed, size), chance::bytes(seed + 10, size + 1));
        docker.post(&format!("/v2/app/blobs/uploads/?digest={}", digest(&one)), one.clone()).await.expect(201);
        assert!(stored(&docker, &one).await);
        let upload = docker.start_upload("app").await;
        docker.put(&with_query(&upload, &format!("digest={}", digest(&two))), two.clone()).await.expect(201);
        assert!(stored(&docker, &two).await);
    }
}

#[tokio::test]
async fn chunks_follow_one_another_with_a_true_range_and_a_last_one_in_the_put() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 1000);
    let mut upload = docker.start_upload("app").await;
    for (first, end) in [(0, 100), (100, 101), (101, 900)] {
        let answer = docker.patch_at(&upload, first, bytes[first..end].to_vec()).await.expect(202);
        assert_eq!(answer.header("range"), Some(format!("0-{}", end - 1).as_str()));
        upload = location(&answer);
        let status = docker.get(&upload).await.expect(204);
        assert_eq!(status.header("range"), Some(format!("0-{}", end - 1).as_str()));
    }
    docker.put(&with_query(&upload, &format!("digest={}", digest(&bytes))), bytes[900..].to_vec()).await.expect(201);
    assert!(stored(&docker, &bytes).await);
}

#[tokio::test]
async fn a_chunk_out_of_order_is_416_and_says_where_the_upload_stands() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 300);
    let upload =
        location(&docker.patch_at(&docker.start_upload("app").await, 0, bytes[..100].to_vec()).await.expect(202));
    for first in [0, 50, 101, 200] {
        let answer = docker.patch_at(&upload, first, bytes[first..first + 100].to_vec()).await.expect(416);
        assert_eq!(answer.header("range"), Some("0-99"), "{first}");
    }
    let upload = location(&docker.patch_at(&upload, 100, bytes[100..].to_vec()).await.expect(202));
    docker.put(&with_query(&upload, &format!("digest={}", digest(&bytes))), "").await.expect(201);
    assert!(stored(&docker, &bytes).await);
}

#[tokio::test]
async fn the_last_chunk_in_the_put_has_a_place_like_any_other() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 300);
    let d = digest(&bytes);
    let upload = location(&docker.patch(&docker.start_upload("app").await, bytes[..100].to_vec()).await.expect(202));
    let close = |range: &str, body: &[u8]| {
        let call = docker.call("PUT", with_query(&upload, &format!("digest={d}"))).header("content-range", range);
        docker.send(call.body(body.to_vec()))
    };
    for (range, body) in [("0-199", &bytes[..200]), ("99-299", &bytes[99..]), ("101-299", &bytes[101..])] {
        let refused = close(range, body).await.expect(416);
        assert_eq!(refused.code(), "BLOB_UPLOAD_INVALID", "{range}");
        assert_eq!((refused.header("range"), location(&refused)), (Some("0-99"), upload.clone()), "{range}");
        assert_eq!(docker.get(&upload).await.expect(204).header("range"), Some("0-99"), "{range}");
    }
    close("100-299", &bytes[100..]).await.expect(201);
    assert!(stored(&docker, &bytes).await);
}

#[tokio::test]
async fn a_chunk_may_say_its_place_in_any_form_that_clients_write() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, range) in [(1, "0-99"), (2, "bytes 0-99/*"), (3, "bytes 0-99/100"), (4, "bytes=0-99"), (5, "0-99/100")] {
        let bytes = chance::bytes(seed, 100);
        let call = docker.call("PATCH", docker.start_upload("app").await).header("content-range", range);
        let patched = docker.send(call.body(bytes.clone())).await.expect(202);
        assert_eq!(patched.header("range"), Some("0-99"), "{range}");
        docker.put(&with_query(&location(&patched), &format!("digest={}", digest(&bytes))), "").await.expect(201);
        assert!(stored(&docker, &bytes).await);
    }
}

#[tokio::test]
async fn a_range_that_does_not_fit_its_length_is_refused_and_nothing_is_kept() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let empty = docker.start_upload("app").await;
    let begun = location(&docker.patch(&docker.start_upload("app").await, vec![1; 5]).await.expect(202));
    for (upload, stands) in [(&empty, "0-0"), (&begun, "0-4")] {
        // Out of order is said first, whatever the length.
        let misfit = if stands == "0-4" { 400 } else { 416 };
        for (range, status) in [
            ("5-103", misfit),
            ("5-105", misfit),
            ("6-104", 416),
            ("1-1", 416),
            ("5-2", 416),
            ("nonsense", 416),
            ("5-", 416),
            ("-99", 416),
            ("bytes */100", 416),
            ("", 416),
            ("200-299", 416),
        ] {
            for method in ["PATCH", "PUT"] {
                let target = with_query(upload, &format!("digest={}", digest(b"x")));
                let call = docker.call(method, target).header("content-range", range).body(vec![1; 100]);
                let answer = docker.send(call).await.expect(status);
                assert_eq!(answer.code(), if status == 400 { "SIZE_INVALID" } else { "BLOB_UPLOAD_INVALID" });
                assert_eq!(answer.header("range"), Some(stands), "{method} {range}");
                assert_eq!(location(&answer), *upload, "{method} {range}");
            }
        }
        assert_eq!(docker.get(upload).await.expect(204).header("range"), Some(stands));
    }
}

#[tokio::test]
async fn a_refused_step_of_an_upload_says_where_it_stands_and_one_of_none_that_there_is_none() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let upload = location(&docker.patch(&docker.start_upload("app").await, vec![1; 50]).await.expect(202));
    for digest in ["nonsense".to_owned(), digest(b"other")] {
        let refused = docker.put(&with_query(&upload, &format!("digest={digest}")), "").await.expect(400);
        assert_eq!(refused.code(), "DIGEST_INVALID");
        assert_eq!((refused.header("range"), location(&refused)), (Some("0-49"), upload.clone()));
    }
    docker.delete(&upload).await.expect(204);
    for range in ["0-9", "nonsense"] {
        let call = docker.call("PATCH", upload.clone()).header("content-range", range).body(vec![1; 10]);
        let gone = docker.send(call).await.expect(404);
        assert_eq!((gone.code().as_str(), gone.header("range")), ("BLOB_UPLOAD_UNKNOWN", None), "{range}");
    }
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_nothing_is_stored() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 50_000);
    let other = digest(b"other");
    for bad in [other.as_str(), "sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e", "nonsense", ""] {
        let upload = docker.start_upload("app").await;
        let upload = location(&docker.patch(&upload, bytes.clone()).await.expect(202));
        assert_eq!(
            docker.put(&with_query(&upload, &format!("digest={bad}")), "").await.expect(400).code(),
            "DIGEST_INVALID",
            "{bad}"
        );
        let whole = docker.post(&format!("/v2/app/blobs/uploads/?digest={bad}"), bytes.clone()).await;
        assert_eq!(whole.expect(400).code(), "DIGEST_INVALID", "{bad}");
    }
    let upload = docker.start_upload("app").await;
    assert_eq!(docker.put(&upload, bytes.clone()).await.expect(400).code(), "DIGEST_INVALID");
    docker.head(&format!("/v2/app/blobs/{other}")).await.expect(404);
    assert!(!stored(&docker, &bytes).await);
}

#[tokio::test]
async fn a_hash_that_is_not_known_opens_no_upload() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for query in
        ["digest-algorithm=md5", "digest-algorithm=", "digest-algorithm=SHA512", "mount=x&digest-algorithm=blake3"]
    {
        let refused = docker.post(&format!("/v2/app/blobs/uploads/?{query}"), "").await.expect(400);
        assert_eq!(refused.code(), "DIGEST_INVALID", "{query}");
        assert!(refused.message().contains("digest-algorithm"), "{}", refused.message());
    }
    docker.post("/v2/app/blobs/uploads/?digest-algorithm=sha256", "").await.expect(202);
}

#[tokio::test]
async fn a_sha512_blob_is_stored_under_its_own_digest() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 40_000);
    let d = oci::Digest::of(oci::Algorithm::Sha512, &bytes).to_string();
    docker.post(&format!("/v2/app/blobs/uploads/?digest={d}"), bytes.clone()).await.expect(201);
    let upload = docker.start_upload("app").await;
    let upload = location(&docker.patch(&upload, bytes.clone()).await.expect(202));
    docker.put(&with_query(&upload, &format!("digest={d}")), "").await.expect(201);
    let asked = location(&docker.post("/v2/app/blobs/uploads/?digest-algorithm=sha512", "").await.expect(202));
    let asked = location(&docker.patch(&asked, bytes.clone()).await.expect(202));
    docker.put(&with_query(&asked, &format!("digest={d}")), "").await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{d}")).await.expect(200).body, bytes);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for with_bytes in [false, true] {
        let mut upload = docker.start_upload("app").await;
        if with_bytes {
            upload = location(&docker.patch(&upload, chance::bytes(1, 100_000)).await.expect(202));
        }
        docker.delete(&upload).await.expect(204);
        for answer in [docker.get(&upload).await, docker.delete(&upload).await, docker.patch(&upload, "x").await] {
            assert_eq!(answer.expect(404).code(), "BLOB_UPLOAD_UNKNOWN");
        }
        let put = docker.put(&with_query(&upload, &format!("digest={}", digest(b"x"))), "x").await;
        assert_eq!(put.expect(404).code(), "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_may_be_sent_again() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let (streamed, whole) = (chance::bytes(1, 50_000), chance::bytes(2, 50_000));
    let upload = location(&docker.patch(&docker.start_upload("app").await, streamed.clone()).await.expect(202));
    let put = with_query(&upload, &format!("digest={}", digest(&streamed)));
    docker.put(&put, "").await.expect(201);
    docker.put(&put, "").await.expect(201);
    let upload = docker.start_upload("app").await;
    let put = with_query(&upload, &format!("digest={}", digest(&whole)));
    docker.put(&put, whole.clone()).await.expect(201);
    docker.put(&put, whole.clone()).await.expect(201);
    assert!(stored(&docker, &streamed).await && stored(&docker, &whole).await);
}

#[tokio::test]
async fn a_mount_shows_the_layer_without_its_bytes_and_anything_else_opens_an_upload() {
    let app = app().await;
    app.administrator().repository("other").await;
    let docker = app.administrator().docker().await;
    let d = docker.push_blob("other", b"shared bytes").await;
    let mount = async |query: &str| docker.post(&format!("/v2/app/blobs/uploads/?{query}"), "").await;
    for query in [
        format!("mount={}&from=other", digest(b"gone")),
        format!("mount={d}&from=gone"),
        format!("mount={d}"),
        format!("mount={d}&from=app"),
        "mount=nonsense&from=other".to_owned(),
        format!("mount={d}&from=NO..NAME"),
    ] {
        let answer = mount(&query).await;
        assert!(answer.status == 202 && answer.header("docker-upload-uuid").is_some(), "{query}: {answer:?}");
    }
    docker.head(&format!("/v2/app/blobs/{d}")).await.expect(404);
    app.ecr("PutAccountSetting", serde_json::json!({"name": "BLOB_MOUNTING", "value": "DISABLED"})).await.ok();
    mount(&format!("mount={d}&from=other")).await.expect(202);
    app.ecr("PutAccountSetting", serde_json::json!({"name": "BLOB_MOUNTING", "value": "ENABLED"})).await.ok();
    let answer = mount(&format!("mount={d}&from=other")).await.expect(201);
    assert_eq!(location(&answer), format!("/v2/app/blobs/{d}"));
    assert_eq!(answer.header("docker-content-digest"), Some(d.as_str()));
    assert_eq!(docker.get(&format!("/v2/app/blobs/{d}")).await.expect(200).body, "shared bytes");
}

/// The Location of an upload that begins: the one that a client has until its first answer.
async fn begun(docker: &Docker<'_>, bytes: &[u8]) -> (String, String) {
    let first = docker.start_upload("app").await;
    let next = location(&docker.patch(&first, bytes.to_vec()).await.expect(202));
    (first, next)
}

#[tokio::test]
async fn a_location_says_in_its_path_where_the_upload_stands_and_has_no_query() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let opened = docker.post("/v2/app/blobs/uploads/", "").await.expect(202);
    let id = opened.header("docker-upload-uuid").unwrap().to_owned();
    let at = |offset: usize| format!("/v2/app/blobs/uploads/{id}.{offset}");
    assert_eq!(location(&opened), at(0));
    assert_eq!(location(&docker.get(&at(0)).await.expect(204)), at(0));
    assert_eq!(location(&docker.patch(&at(0), vec![1; 70]).await.expect(202)), at(70));
    let patched = docker.patch(&at(70), vec![1; 30]).await.expect(202);
    assert_eq!((location(&patched), patched.header("docker-upload-uuid")), (at(100), Some(id.as_str())));
    for asked in [at(0), at(70), at(100), format!("/v2/app/blobs/uploads/{id}")] {
        let status = docker.get(&asked).await.expect(204);
        assert_eq!((location(&status), status.header("range")), (at(100), Some("0-99")), "{asked}");
    }
    let refused = docker.put(&with_query(&at(100), &format!("digest={}", digest(b"x"))), "").await.expect(400);
    assert_eq!(location(&refused), at(100));
}

#[tokio::test]
async fn a_streamed_patch_that_is_sent_again_is_416_and_appends_nothing() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, size) in [(1, 1), (2, 40_000), (3, 2_000_000)] {
        let bytes = chance::bytes(seed, size);
        let (first, next) = begun(&docker, &bytes).await;
        for _ in 0..2 {
            let again = docker.patch(&first, bytes.clone()).await.expect(416);
            assert_eq!(again.code(), "BLOB_UPLOAD_INVALID");
            let stands = format!("0-{}", size - 1);
            assert_eq!((again.header("range"), location(&again)), (Some(stands.as_str()), next.clone()));
        }
        docker.put(&with_query(&next, &format!("digest={}", digest(&bytes))), "").await.expect(201);
        assert!(stored(&docker, &bytes).await, "{size}");
    }
}

#[tokio::test]
async fn a_put_of_the_whole_layer_where_the_upload_began_starts_over() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, size, came) in
        [(1, 100, 60), (2, 100, 100), (3, 3_000_000, 70_000), (4, 90_000, 1), (5, 200_000, 200_000)]
    {
        let bytes = chance::bytes(seed, size);
        let (first, next) = begun(&docker, &bytes[..came]).await;
        let put = |upload: &str| with_query(upload, &format!("digest={}", digest(&bytes)));
        // A body that is not the layer leaves the upload as it was.
        let refused = docker.put(&put(&first), chance::bytes(seed + 10, size)).await.expect(400);
        assert_eq!((refused.code().as_str(), location(&refused)), ("DIGEST_INVALID", next.clone()));
        docker.put(&put(&first), bytes.clone()).await.expect(201);
        docker.put(&put(&first), bytes.clone()).await.expect(201);
        assert!(stored(&docker, &bytes).await, "{size}");
    }
}

#[tokio::test]
async fn a_put_that_would_leave_a_gap_or_overlap_is_416() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 300);
    let (_, next) = begun(&docker, &bytes[..100]).await;
    let query = format!("digest={}", digest(&bytes));
    for offset in ["50", "101", "300", "99999999999999999999"] {
        let elsewhere = next.replace(".100", &format!(".{offset}"));
        let refused = docker.put(&with_query(&elsewhere, &query), bytes[100..].to_vec()).await.expect(416);
        assert_eq!(
            (refused.code().as_str(), refused.header("range")),
            ("BLOB_UPLOAD_INVALID", Some("0-99")),
            "{offset}"
        );
        docker.patch(&elsewhere, bytes[100..].to_vec()).await.expect(416);
    }
    docker.put(&with_query(&next, &query), bytes[100..].to_vec()).await.expect(201);
    assert!(stored(&docker, &bytes).await);
}

#[tokio::test]
async fn a_closing_put_without_bytes_may_go_to_any_location_of_its_upload() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, size) in [(1, 300), (2, 60_000)] {
        for (more, offset) in [(0, ".0"), (10, ""), (20, ".7"), (30, ".4000000")] {
            let bytes = chance::bytes(seed + more, size);
            let (first, _) = begun(&docker, &bytes).await;
            let target = first.replace(".0", offset);
            let call = docker.call("PUT", with_query(&target, &format!("digest={}", digest(&bytes))));
            // Without a Content-Length, it is known only at its end that a body has no bytes.
            let call = if more == 20 { call.header("transfer-encoding", "chunked").body("0\r\n\r\n") } else { call };
            docker.send(call).await.expect(201);
            assert!(stored(&docker, &bytes).await, "{size} {offset}");
        }
    }
}

#[tokio::test]
async fn a_client_that_builds_the_path_itself_appends_and_content_range_counts_more_than_the_path() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 300);
    let opened = docker.post("/v2/app/blobs/uploads/", "").await.expect(202);
    let own = format!("/v2/app/blobs/uploads/{}", opened.header("docker-upload-uuid").unwrap());
    docker.patch(&own, bytes[..100].to_vec()).await.expect(202);
    docker.patch(&own, bytes[100..200].to_vec()).await.expect(202);
    docker.patch_at(&location(&opened), 200, bytes[200..250].to_vec()).await.expect(202);
    docker.patch_at(&location(&opened), 200, bytes[200..250].to_vec()).await.expect(416);
    docker.put(&with_query(&own, &format!("digest={}", digest(&bytes))), bytes[250..].to_vec()).await.expect(201);
    assert!(stored(&docker, &bytes).await);
}
