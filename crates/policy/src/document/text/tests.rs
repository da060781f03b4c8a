use super::readable;
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
