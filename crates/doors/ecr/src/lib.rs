//! The ECR door: one file per capability, with each operation's input, limits and permissions.

mod account_setting;
mod authorization_token;
mod batch_delete_image;
mod batch_get_image;
mod create_repository;
mod delete_repository;
mod describe_images;
mod describe_registry;
mod describe_repositories;
mod download_url;
mod failure;
mod layer_availability;
mod layer_upload;
mod list_image_referrers;
mod list_images;
mod put_image;
mod put_image_scanning_configuration;
mod put_image_tag_mutability;
mod registry_policy;
mod repository_policy;
mod resource_tags;
mod types;

use call::page;
use call::{Entry, JsonVersion, Protocol, Service};

/// The part of X-Amz-Target before the dot.
pub const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921";
/// The service in the credential scope of a signature.
pub const SIGNING_NAME: &str = "ecr";

/// ECR's API of 2015-09-21: the operations that are implemented, and the names of those that are not yet.
pub const SERVICE: Service = Service {
    signing_name: SIGNING_NAME,
    namesake: None,
    global_region: None,
    account: None,
    protocol: Protocol::Json { target: TARGET, version: JsonVersion::V1_1 },
    stated_life: true,
    operations: &[
        Entry::json::<layer_availability::BatchCheckLayerAvailability>(),
        Entry::json::<batch_delete_image::BatchDeleteImage>(),
        Entry::json::<batch_get_image::BatchGetImage>(),
        Entry::json::<layer_upload::CompleteLayerUpload>(),
        Entry::json::<create_repository::CreateRepository>(),
        Entry::json::<registry_policy::DeleteRegistryPolicy>(),
        Entry::json::<delete_repository::DeleteRepository>(),
        Entry::json::<repository_policy::DeleteRepositoryPolicy>(),
        Entry::json::<describe_images::DescribeImages>(),
        Entry::json::<describe_registry::DescribeRegistry>(),
        Entry::json::<describe_repositories::DescribeRepositories>(),
        Entry::json::<account_setting::GetAccountSetting>(),
        Entry::json::<authorization_token::GetAuthorizationToken>(),
        Entry::json::<download_url::GetDownloadUrlForLayer>(),
        Entry::json::<registry_policy::GetRegistryPolicy>(),
        Entry::json::<repository_policy::GetRepositoryPolicy>(),
        Entry::json::<layer_upload::InitiateLayerUpload>(),
        Entry::json::<list_image_referrers::ListImageReferrers>(),
        Entry::json::<list_images::ListImages>(),
        Entry::json::<resource_tags::ListTagsForResource>(),
        Entry::json::<account_setting::PutAccountSetting>(),
        Entry::json::<put_image::PutImage>(),
        Entry::json::<put_image_scanning_configuration::PutImageScanningConfiguration>(),
        Entry::json::<put_image_tag_mutability::PutImageTagMutability>(),
        Entry::json::<registry_policy::PutRegistryPolicy>(),
        Entry::json::<repository_policy::SetRepositoryPolicy>(),
        Entry::json::<resource_tags::TagResource>(),
        Entry::json::<resource_tags::UntagResource>(),
        Entry::json::<layer_upload::UploadLayerPart>(),
    ],
    not_yet: &[
        "BatchGetRepositoryScanningConfiguration",
        "CreatePullThroughCacheRule",
        "CreateRepositoryCreationTemplate",
        "DeleteLifecyclePolicy",
        "DeletePullThroughCacheRule",
        "DeleteRepositoryCreationTemplate",
        "DeleteSigningConfiguration",
        "DeregisterPullTimeUpdateExclusion",
        "DescribeImageReplicationStatus",
        "DescribeImageScanFindings",
        "DescribeImageSigningStatus",
        "DescribePullThroughCacheRules",
        "DescribeReplicationBackfillResults",
        "DescribeRepositoryCreationTemplates",
        "GetLifecyclePolicy",
        "GetLifecyclePolicyPreview",
        "GetRegistryScanningConfiguration",
        "GetSigningConfiguration",
        "ListPullTimeUpdateExclusions",
        "ListReplicationBackfills",
        "PutLifecyclePolicy",
        "PutRegistryScanningConfiguration",
        "PutReplicationConfiguration",
        "PutSigningConfiguration",
        "RegisterPullTimeUpdateExclusion",
        "StartImageScan",
        "StartLifecyclePolicyPreview",
        "StartReplicationBackfill",
        "StopReplicationBackfill",
        "UpdateImageStorageClass",
        "UpdatePullThroughCacheRule",
        "UpdateRepositoryCreationTemplate",
        "ValidatePullThroughCacheRule",
    ],
};

#[cfg(test)]
mod tests {
    use super::SERVICE;
    use bytes::Bytes;
    use call::Refusal;
    use kernel::RegistryId;
    use proptest::collection::{hash_map, vec};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Members of inputs, so that generated inputs reach the checks.
    const MEMBERS: &[&str] = &[
        "acceptedMediaTypes",
        "artifactStatus",
        "artifactTypes",
        "encryptionConfiguration",
        "encryptionType",
        "filter",
        "filterType",
        "force",
        "imageDigest",
        "imageId",
        "imageIds",
        "imageManifest",
        "imageScanningConfiguration",
        "imageStatus",
        "imageTag",
        "imageTagMutability",
        "imageTagMutabilityExclusionFilters",
        "Key",
        "kmsKey",
        "layerDigest",
        "layerDigests",
        "layerPartBlob",
        "maxResults",
        "name",
        "nextToken",
        "partFirstByte",
        "partLastByte",
        "policyText",
        "registryId",
        "registryIds",
        "repositoryName",
        "repositoryNames",
        "resourceArn",
        "scanOnPush",
        "subjectId",
        "tagKeys",
        "tags",
        "tagStatus",
        "uploadId",
        "value",
        "Value",
    ];

    fn input() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[0-9]{12}|sha256:[0-9a-f]{64}|[a-z]{2,5}/[a-z]{1,5}|WILDCARD|IMMUTABLE|ANY|YQ==".prop_map(Value::from),
        ];
        let object = |value: BoxedStrategy<Value>| {
            hash_map(proptest::sample::select(MEMBERS), value, 0..8).prop_map(|members| json!(members))
        };
        let nested = leaf.prop_recursive(4, 48, 6, move |inner| {
            prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), object(inner)]
        });
        object(nested.boxed())
    }

    #[test]
    fn a_list_of_no_repositories_needs_what_all_of_them_do() {
        let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
        let operation = SERVICE.operations.iter().find(|operation| operation.name == "DescribeRepositories").unwrap();
        let needs = |input: &'static str| operation.needs(Bytes::from(input), &registry).unwrap();
        assert_eq!(needs(r#"{"repositoryNames":[]}"#)[0].resource, ::registry::permission::every_repository(&registry));
        assert_eq!(needs(r#"{"repositoryNames":["app", "team/app"]}"#).len(), 2);
    }

    #[test]
    fn the_keys_of_tags_are_conditions_whether_they_come_or_go() {
        let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
        let arn = registry.repository_arn("app");
        for (name, input) in [
            (
                "CreateRepository",
                json!({"repositoryName": "app", "tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]}),
            ),
            (
                "TagResource",
                json!({"resourceArn": arn, "tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]}),
            ),
            ("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "b"]})),
        ] {
            let operation = SERVICE.operations.iter().find(|operation| operation.name == name).unwrap();
            let needs = operation.needs(Bytes::from(input.to_string()), &registry).unwrap();
            for need in needs {
                assert!(need.tag_keys().eq(["a", "b"]), "{name}: {need:?}");
            }
        }
    }

    proptest! {
        /// Every input is accepted, or refused as unreadable or because a member violates its constraint.
        #[test]
        fn no_input_is_more_than_refused(input in input()) {
            let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
            for operation in SERVICE.operations {
                let bytes = Bytes::from(input.to_string());
                let needs = operation.needs(bytes.clone(), &registry);
                // An operation without needs would check the input of callers without permissions.
                assert!(needs.as_ref().map_or(true, |needs| !needs.is_empty()), "{}", operation.name);
                match operation.check(bytes) {
                    Ok(()) => assert!(needs.is_ok(), "{}", operation.name),
                    Err(Refusal::Serialization(_)) => assert!(needs.is_err(), "{}", operation.name),
                    Err(other) if ["InvalidParameterException", "KmsException"].contains(&other.json().name) => {}
                    Err(other) => panic!("{}: {other:?}", operation.name),
                }
            }
        }
    }
}
