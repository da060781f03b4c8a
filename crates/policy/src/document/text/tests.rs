use super::{readable, with_principals};
use aws::Partition;

#[test]
fn a_readable_text_keeps_the_order_and_names_accounts_by_their_root() {
    let text = r#"{"Statement":[{"Principal":{"Service":"111111111111","AWS":["111111111111","*"]},"Effect":"Deny",
        "Action":["box:Open"],"Condition":{"NumericEquals":{"x:n":[1,-2,2.5,true,"111111111111"]}}},
        {"NotPrincipal":{"AWS":"222222222222"},"Effect":"Deny","Action":"box:Open"}],"Version":"2012-10-17","Id":"é\n"}"#;
    let read = readable(text, Partition::AwsCn).unwrap();
    let expected = r#"{
  "Statement": [
    {
      "Principal": {
        "Service": "111111111111",
        "AWS": [
          "arn:aws-cn:iam::111111111111:root",
          "*"
        ]
      },
      "Effect": "Deny",
      "Action": [
        "box:Open"
      ],
      "Condition": {
        "NumericEquals": {
          "x:n": [
            1,
            -2,
            2.5,
            true,
            "111111111111"
          ]
        }
      }
    },
    {
      "NotPrincipal": {
        "AWS": "arn:aws-cn:iam::222222222222:root"
      },
      "Effect": "Deny",
      "Action": "box:Open"
    }
  ],
  "Version": "2012-10-17",
  "Id": "é\n"
}"#;
    assert_eq!(read, expected);
    assert_eq!(readable(&read, Partition::Aws).unwrap(), read);
}

#[test]
fn only_principals_of_aws_are_replaced() {
    let text = r#"{"Statement": [{"Sid": "ann", "Effect": "Allow", "Principal": {"AWS": ["ann", "bea"], "Service": "ann"},
        "Action": "ann", "Condition": {"StringEquals": {"AWS": "ann"}}}, {"NotPrincipal": {"AWS": "ann"}}]}"#;
    let replaced = with_principals(text, |name| (name == "ann").then(|| "cid".to_owned())).unwrap();
    let expected = text.replace(r#""AWS": ["ann""#, r#""AWS": ["cid""#);
    let expected = expected.replace(r#""NotPrincipal": {"AWS": "ann"}"#, r#""NotPrincipal": {"AWS": "cid"}"#);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&replaced), json(&expected));
}
