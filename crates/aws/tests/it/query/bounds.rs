//! Untrusted input: every form is read or refused. The error names the member and does not repeat its value.

use aws::query::{MAX_DEPTH, MAX_INDEX, QueryForm};
use aws::{Blob, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    text: Option<String>,
    number: Option<i32>,
    small: Option<u8>,
    float: Option<f64>,
    flag: Option<bool>,
    time: Option<Timestamp>,
    blob: Option<Blob>,
    choice: Option<Choice>,
    list: Option<Vec<String>>,
    numbers: Option<Vec<i64>>,
    map: Option<BTreeMap<String, String>>,
    nested: Option<Nested>,
    tags: Option<Vec<Tag>>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Choice {
    Active,
    Inactive,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Nested {
    nested: Option<Box<Nested>>,
    tags: Option<Vec<Tag>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

fn read(form: &str) -> Result<Input, String> {
    let form = QueryForm::read("", form.as_bytes()).map_err(|error| error.to_string())?;
    form.input().map_err(|error| error.to_string())
}

#[test]
fn values_are_parsed_by_the_types_of_their_members() {
    let found = read(
        "Action=A&Version=V&X-Amz-Date=D&x-amz-security-token=t&Unknown.member.1=u&Text=007&Number=-7&Small=255&Float=1e3\
         &Flag=TRUE&Time=2026-01-31T13:00:00.5%2B01:00&Blob=YQ%3D%3D&Choice=Active&List.member.10=c&List.member.2=b\
         &List.member.1=a&Numbers=&Map.entry.1.key=k&Map.entry.1.value=v&Nested.Nested.Tags.member.1.Key=x\
         &Nested.Nested.Tags.member.1.Value=&Tags.member.3.Key=y&Tags.member.3.Value=z&Text=second",
    );
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let inner = Nested { nested: None, tags: Some(vec![tag("x", "")]) };
    let expected = Input {
        text: Some("007".to_owned()),
        number: Some(-7),
        small: Some(255),
        float: Some(1000.0),
        flag: Some(true),
        time: Some(Timestamp(1_769_860_800_500_000)),
        blob: Some(Blob(b"a".as_slice().into())),
        choice: Some(Choice::Active),
        list: Some(["a", "b", "c"].map(str::to_owned).into()),
        numbers: Some(Vec::new()),
        map: Some([("k".to_owned(), "v".to_owned())].into()),
        nested: Some(Nested { nested: Some(Box::new(inner)), tags: None }),
        tags: Some(vec![tag("y", "z")]),
    };
    assert_eq!(found, Ok(expected));
    assert_eq!(
        read("Nested=&Map=&Tags="),
        Ok(Input {
            nested: Some(Nested::default()),
            map: Some(BTreeMap::new()),
            tags: Some(Vec::new()),
            ..Input::default()
        })
    );
}

#[test]
fn an_error_names_the_member_and_does_not_repeat_its_value() {
    let deep = vec!["A"; MAX_DEPTH + 1].join(".");
    let far = format!("List.member.{}=secret", MAX_INDEX + 1);
    for (form, expected) in [
        ("Number=secret", "Number: must be an integer of 32 bits"),
        ("Number=2147483648", "Number: must be an integer of 32 bits"),
        ("Number=", "Number: must be an integer of 32 bits"),
        ("Small=-1", "Small: must be a positive integer of 8 bits"),
        ("Float=secret", "Float: must be a number"),
        ("Flag=secret", "Flag: must be true or false"),
        ("Time=secret", "Time: must be a time such as 2026-01-31T12:00:00Z"),
        ("Time=2026-01-31", "Time: must be a time such as 2026-01-31T12:00:00Z"),
        ("Blob=secret*", "Blob: must be base64"),
        ("Choice=secret", "Choice: must be one of Active, Inactive"),
        ("Text.secret=secret", "Text: must be a single value"),
        ("Text=secret&Text.x=secret", "Text: must be a single value"),
        ("List=secret", "List: must be a list: its items are NAME.member.N"),
        ("List.1=secret", "List.1: is no item of a list: its items are NAME.member.N"),
        ("List.member=secret", "List.member: is no item of a list: its items are NAME.member.N"),
        ("List.member.0=secret", "List.member.0: must end in a number from 1 to 4000"),
        ("List.member.01=secret", "List.member.01: must end in a number from 1 to 4000"),
        ("List.member.%2B1=secret", "List.member.+1: must end in a number from 1 to 4000"),
        ("List.member.x=secret", "List.member.x: must end in a number from 1 to 4000"),
        (
            "List.member.99999999999999999999999=secret",
            "List.member.99999999999999999999999: must end in a number from 1 to 4000",
        ),
        (&far, "List.member.4001: must end in a number from 1 to 4000"),
        ("List.member.1.x=secret", "List.member.1: must be a single value"),
        ("Numbers.member.2=1&Numbers.member.7=secret", "Numbers.member.7: must be an integer of 64 bits"),
        ("Map.member.1=secret", "Map.member: is no item of a map: its items are NAME.entry.N"),
        ("Map.entry.1.key=secret", "Map.entry.1: must be a single value"),
        ("Map.entry.1.value=secret", "Map.entry.1: must have a key"),
        ("Map.entry.1.key.x=secret&Map.entry.1.value=v", "Map.entry.1.key: must be a single value"),
        ("Nested=secret", "Nested: must be a structure: its members are NAME.MEMBER"),
        ("Nested.Tags.member.2.Key=secret", "Nested.Tags.member.2: Value is missing"),
        (&format!("{deep}=secret"), &format!("{deep}: must not have more than 16 parts")),
        (
            &format!("{}.x=secret", "a".repeat(500) + &".b".repeat(20)),
            &format!("{}: must not have more than 16 parts", "a".repeat(128)),
        ),
    ] {
        assert_eq!(read(form), Err((*expected).to_owned()), "{form}");
    }
}

/// Forms with valid and invalid names and values of the input's members.
fn near_forms() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("List"),
        Just("Map"),
        Just("Nested"),
        Just("Tags"),
        Just("Text"),
        Just("member"),
        Just("entry"),
        Just("key"),
        Just("value"),
        Just("1"),
        Just("2"),
        Just("0"),
        Just(""),
        Just("Time"),
        Just("Number"),
        Just("%FF"),
    ];
    let pair = (vec(part, 1..20), prop_oneof![Just(""), Just("1"), Just("2026-01-01T00:00:00Z"), Just("%00")]);
    vec(pair, 0..12).prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(name, value)| format!("{}={value}", name.join(".")));
        pairs.collect::<Vec<_>>().join("&")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_form_causes_a_panic(form in prop_oneof![near_forms(), any::<String>()]) {
        let _ = read(&form);
    }

    #[test]
    fn lists_and_maps_keep_their_content(list in vec(".*", 1..30), map in proptest::collection::btree_map(".*", ".*", 1..10)) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        // The order of the parameters does not matter.
        for (index, item) in list.iter().enumerate().rev() {
            form.append_pair(&format!("List.member.{}", index + 1), item);
        }
        for (index, (key, value)) in map.iter().enumerate() {
            form.append_pair(&format!("Map.entry.{}.value", index + 1), value);
            form.append_pair(&format!("Map.entry.{}.key", index + 1), key);
        }
        let read = read(&form.finish()).unwrap();
        prop_assert_eq!(read.list, Some(list));
        prop_assert_eq!(read.map, Some(map));
    }

    #[test]
    fn a_time_keeps_its_value(microseconds in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
        let time = jiff::Timestamp::from_microsecond(microseconds).unwrap();
        prop_assert_eq!(read(&format!("Time={time}")).unwrap().time, Some(Timestamp(microseconds)));
    }
}
