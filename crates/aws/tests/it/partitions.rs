//! Partitions, compared with botocore's table.

use crate::botocore::{file, run};
use aws::{Arn, Partition, Region};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Table {
    partitions: Vec<Row>,
    names: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    dns_suffix: String,
    dual_stack_dns_suffix: String,
    regions: Vec<String>,
}

fn partition(region: &str) -> Partition {
    region.parse::<Region>().unwrap().partition()
}

#[test]
fn partitions_have_the_same_regions_as_in_botocore() {
    let out = file("partitions");
    run("botocore-partitions", &[], &out);
    let table: Table = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    std::fs::remove_file(&out).unwrap();

    assert_eq!(table.partitions.len(), Partition::ALL.len());
    for row in &table.partitions {
        let known: Partition = row.id.parse().unwrap();
        assert_eq!(known.to_string(), row.id);
        assert_eq!(known.dns_suffix(), row.dns_suffix, "{known}");
        assert_eq!(known.dual_stack_dns_suffix(), row.dual_stack_dns_suffix, "{known}");
        assert!(!row.regions.is_empty(), "{known}");
        for region in &row.regions {
            assert_eq!(partition(region), known, "{region}");
        }
    }
    assert!(table.names.len() > 100, "only {} names", table.names.len());
    for (name, id) in &table.names {
        assert_eq!(partition(name).id(), id, "{name}");
    }
}

#[test]
fn an_arn_of_another_partition_than_its_region_is_refused() {
    let arn: Arn = "arn:aws:ecr:cn-north-1:012345678901:repository/a".parse().unwrap();
    let wrong = arn.check_partition(partition("cn-north-1")).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "an ARN of this region begins with arn:aws-cn:, since the region is one of the partition aws-cn"
    );
    assert_eq!(arn.check_partition(Partition::Aws), Ok(()));
    assert!("aws-xx".parse::<Partition>().is_err());
}
