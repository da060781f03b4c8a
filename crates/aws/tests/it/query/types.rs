//! Outputs in XML and JSON, and outputs that can't be written.

use aws::query::QueryOutput;
use aws::{AccountId, Blob, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Everything {
    text: &'static str,
    account: AccountId,
    number: u64,
    float: f64,
    not_a_number: f64,
    flag: bool,
    time: Timestamp,
    whole: Timestamp,
    blob: Blob,
    absent: Option<String>,
    choice: Choice,
    empty: Vec<String>,
    list: Vec<Inner>,
    map: BTreeMap<&'static str, Vec<i32>>,
    nothing: Nothing,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    key: String,
    value: Option<bool>,
}

#[derive(Serialize)]
enum Choice {
    Active,
}

#[derive(Serialize)]
struct Nothing {}

fn everything() -> Everything {
    Everything {
        text: "<a> & \"b\"\r\n",
        account: AccountId::DEFAULT,
        number: u64::MAX,
        float: 0.5,
        not_a_number: f64::NAN,
        flag: true,
        time: Timestamp(1_699_999_999_123_999),
        whole: Timestamp(1_699_999_999_000_000),
        blob: Blob(b"abc".as_slice().into()),
        absent: None,
        choice: Choice::Active,
        empty: Vec::new(),
        list: vec![Inner { key: "a".into(), value: None }, Inner { key: "b".into(), value: Some(false) }],
        map: [("k<1>", vec![1, -2]), ("m", vec![])].into(),
        nothing: Nothing {},
    }
}

#[test]
fn an_output_is_written_in_xml() {
    let xml = QueryOutput::of(&everything()).unwrap().xml("urn:\"n\"", "GetAll", "id&1");
    let result = [
        "<Text>&lt;a&gt; &amp; &quot;b&quot;&#13;\n</Text><Account>000000000000</Account><Number>18446744073709551615</Number>",
        "<Float>0.5</Float><NotANumber>NaN</NotANumber><Flag>true</Flag><Time>2023-11-14T22:13:19.123Z</Time>",
        "<Whole>2023-11-14T22:13:19Z</Whole><Blob>YWJj</Blob><Choice>Active</Choice><Empty></Empty>",
        "<List><member><Key>a</Key></member><member><Key>b</Key><Value>false</Value></member></List>",
        "<Map><entry><key>k&lt;1&gt;</key><value><member>1</member><member>-2</member></value></entry>",
        "<entry><key>m</key><value></value></entry></Map><Nothing></Nothing>",
    ];
    assert_eq!(
        xml,
        format!(
            "<GetAllResponse xmlns=\"urn:&quot;n&quot;\"><GetAllResult>{}</GetAllResult><ResponseMetadata>\
             <RequestId>id&amp;1</RequestId></ResponseMetadata></GetAllResponse>",
            result.concat()
        )
    );
}

#[test]
fn an_output_is_written_in_json() {
    let result = [
        r#""Text":"<a> & \"b\"\r\n","Account":"000000000000","Number":18446744073709551615,"Float":0.5,"NotANumber":"NaN","#,
        r#""Flag":true,"Time":1699999999.123,"Whole":1699999999.0,"Blob":"YWJj","Choice":"Active","Empty":[],"#,
        r#""List":[{"Key":"a"},{"Key":"b","Value":false}],"Map":{"k<1>":[1,-2],"m":[]},"Nothing":{}"#,
    ];
    let expected = format!(
        r#"{{"GetAllResponse":{{"GetAllResult":{{{}}},"ResponseMetadata":{{"RequestId":"id\"1"}}}}}}"#,
        result.concat()
    );
    assert_eq!(QueryOutput::of(&everything()).unwrap().json("GetAll", "id\"1"), expected);
}

#[test]
fn an_operation_without_an_output_has_no_result() {
    let output = QueryOutput::of(&()).unwrap();
    assert_eq!(
        output.xml("urn:n", "DeleteUser", "id"),
        "<DeleteUserResponse xmlns=\"urn:n\"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>\
         </DeleteUserResponse>"
    );
    assert_eq!(output.json("DeleteUser", "id"), r#"{"DeleteUserResponse":{"ResponseMetadata":{"RequestId":"id"}}}"#);
}

#[derive(Serialize)]
struct Of<T> {
    member: T,
}

#[derive(Serialize)]
enum WithData {
    Text(String),
}

#[test]
fn types_that_the_protocol_can_not_express_are_refused() {
    let errors = [
        QueryOutput::of(&"text").err(),
        QueryOutput::of(&vec![1]).err(),
        QueryOutput::of(&Of { member: ("a", 1) }).err(),
        QueryOutput::of(&Of { member: WithData::Text(String::new()) }).err(),
        QueryOutput::of(&Of { member: BTreeMap::from([(1, "a")]) }).err(),
        QueryOutput::of(&Of { member: Timestamp(i64::MAX) }).err(),
    ];
    for (number, error) in errors.into_iter().enumerate() {
        assert!(error.is_some_and(|error| error.to_string().starts_with("an output can't be written: ")), "{number}");
    }
}

#[test]
fn debug_of_an_output_shows_no_content() {
    assert_eq!(format!("{:?}", QueryOutput::of(&everything()).unwrap()), "QueryOutput(..)");
}
