//! Names, timestamps, and the responses of both protocols.

use aws::query::QueryError;
use aws::{AccountId, Arn, InvalidAccountId, InvalidArn, InvalidRegion, Region, Timestamp, json, query};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn an_account_id_has_twelve_digits() {
    for good in ["000000000000", "012345678901", "999999999999"] {
        let account: AccountId = good.parse().unwrap();
        assert_eq!((account.as_str(), account.to_string().as_str()), (good, good));
        assert_eq!(serde_json::to_value(account).unwrap(), json!(good));
    }
    for bad in
        ["", "12345678901", "1234567890123", "12345678901a", "+12345678901", "１23456789012", "12345678901\u{661}"]
    {
        assert_eq!(bad.parse::<AccountId>(), Err(InvalidAccountId), "{bad}");
    }
    assert_eq!(AccountId::DEFAULT.as_str(), "000000000000");
}

#[test]
fn a_region_is_a_valid_part_of_a_host_name() {
    for good in ["us-east-1", "aa", "00", "--", "abcdefghijklmnopqrstuvwxy"] {
        let region: Region = good.parse().unwrap();
        assert_eq!((region.as_str(), region.to_string().as_str()), (good, good));
        assert_eq!(serde_json::to_value(&region).unwrap(), json!(good));
    }
    for bad in ["", "a", "US-EAST-1", "us_east", "us.east", "us east", "abcdefghijklmnopqrstuvwxyz", "größe"] {
        assert_eq!(bad.parse::<Region>(), Err(InvalidRegion), "{bad}");
    }
}

#[test]
fn an_arn_has_six_parts() {
    let arn: Arn = "arn:aws:ecr:us-east-1:012345678901:repository/a/b".parse().unwrap();
    let parts = [&arn.partition, &arn.service, &arn.region, &arn.account, &arn.resource];
    assert_eq!(parts, ["aws", "ecr", "us-east-1", "012345678901", "repository/a/b"]);
    let arn: Arn = "arn:aws:secretsmanager:::secret:name:more".parse().unwrap();
    assert_eq!([&arn.region, &arn.account, &arn.resource], ["", "", "secret:name:more"]);

    let long = format!("arn:aws:ecr:::{}", "a".repeat(2048));
    let bad = [
        "",
        "arn",
        "arn:aws:ecr:us-east-1:012345678901",
        "arn:aws:ecr:us-east-1:012345678901:",
        "arn::ecr:::a",
        "arn:aws::::a",
        "ARN:aws:ecr:::a",
        "aws:ecr:us-east-1:012345678901:repository:a",
        "arn:aws:ecr:::a\nb",
        &long,
    ];
    for bad in bad {
        assert_eq!(bad.parse::<Arn>(), Err(InvalidArn), "{bad}");
    }
}

#[test]
fn a_timestamp_is_seconds_with_milliseconds() {
    let cases = [
        (1_699_999_999_123_456, "1699999999.123"),
        (1_699_999_999_123_999, "1699999999.123"),
        (1_699_999_999_100_000, "1699999999.1"),
        (1_699_999_999_000_000, "1699999999.0"),
        (0, "0.0"),
        (999, "0.0"),
        (-1, "-0.001"),
        (253_402_300_799_999_999, "253402300799.999"),
    ];
    for (microseconds, written) in cases {
        assert_eq!(serde_json::to_string(&Timestamp(microseconds)).unwrap(), written);
    }
}

#[test]
fn a_target_header_names_a_prefix_and_an_operation() {
    assert_eq!(
        json::target("AmazonEC2ContainerRegistry_V20150921.PutImage"),
        Some(("AmazonEC2ContainerRegistry_V20150921", "PutImage"))
    );
    assert_eq!(json::target("com.example.Service.Op"), Some(("com.example.Service", "Op")));
    for bad in ["", ".", "PutImage", ".PutImage", "AmazonEC2ContainerRegistry_V20150921."] {
        assert_eq!(json::target(bad), None, "{bad}");
    }
}

#[test]
fn versions_of_json_differ_in_media_type_and_error_name() {
    let old = json::JsonVersion::V1_0 { namespace: "com.example" };
    assert_eq!(
        (old.content_type(), &*old.error_type("NotFound")),
        ("application/x-amz-json-1.0", "com.example#NotFound")
    );
    let new = json::JsonVersion::V1_1;
    assert_eq!((new.content_type(), &*new.error_type("NotFound")), ("application/x-amz-json-1.1", "NotFound"));
}

#[test]
fn an_error_body_has_the_type_the_message_and_the_extra_members() {
    assert_eq!(json::error_body("UnknownOperationException", None, &[]), br#"{"__type":"UnknownOperationException"}"#);
    let body = json::error_body("KmsException", Some("no \"key\"\n"), &[("kmsError", "NotFound".into())]);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({"__type": "KmsException", "message": "no \"key\"\n", "kmsError": "NotFound"}));
}

#[test]
fn the_query_protocol_refuses_in_escaped_xml() {
    let error = |is_sender, code, message, extra| QueryError { is_sender, code, message, extra };
    assert_eq!(
        error(true, "InvalidAction", "no '<x>'", &[]).xml("urn:n", "id"),
        "<ErrorResponse xmlns=\"urn:n\"><Error><Type>Sender</Type><Code>InvalidAction</Code>\
         <Message>no &apos;&lt;x&gt;&apos;</Message></Error><RequestId>id</RequestId></ErrorResponse>"
    );
    assert!(error(false, "InternalFailure", "", &[]).xml("urn:n", "id").contains("<Type>Receiver</Type>"));
    let extra = [("toyName", json!("a<b")), ("last", json!(7))];
    let with_members = error(true, "NoSuchToy", "no", &extra);
    let xml = with_members.xml("urn:n", "id");
    assert!(xml.contains("<Message>no</Message><toyName>a&lt;b</toyName><last>7</last></Error>"), "{xml}");
    assert_eq!(
        serde_json::from_str::<Value>(&with_members.json("id")).unwrap(),
        json!({
            "Error": {"Type": "Sender", "Code": "NoSuchToy", "Message": "no", "toyName": "a<b", "last": 7},
            "RequestId": "id",
        })
    );
    assert_eq!(query::escape("a\0\u{1b}\u{ffff}\r\n\tü"), "a\u{fffd}\u{fffd}\u{fffd}&#13;\n\tü");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_arn_has_the_text_that_it_was_parsed_from(
        partition in "[a-z-]{1,10}", service in "[a-z0-9-]{1,20}", region in "[a-z0-9-]{0,12}", account in "[0-9]{0,12}",
        resource in "[^\\p{Cc}]{1,100}"
    ) {
        let arn = Arn { partition, service, region, account, resource };
        prop_assert_eq!(arn.to_string().parse(), Ok(arn));
    }

    #[test]
    fn any_valid_text_of_an_arn_is_its_only_text(text in "(arn:)?[a-z:/*é\\n]{0,40}") {
        if let Ok(arn) = text.parse::<Arn>() {
            prop_assert_eq!(arn.to_string(), text);
        }
    }

    #[test]
    fn a_timestamp_keeps_its_milliseconds(microseconds in 0_i64..253_402_300_800_000_000) {
        let written = serde_json::to_string(&Timestamp(microseconds)).unwrap();
        let seconds: f64 = written.parse().unwrap();
        prop_assert_eq!((seconds * 1000.0).round() as i64, microseconds / 1000);
        let read: Timestamp = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(read, Timestamp(microseconds / 1000 * 1000));
    }
}
