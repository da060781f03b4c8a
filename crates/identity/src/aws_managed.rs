//! AWS's managed policies that are about ECR, by name (`ECR.md` G.1, G.4; "AWS Managed Policy Reference").
//!
//! They exist in every account of every partition. AWS's ids are used where they are known. Only the default version exists, because the
//! older ones are not published.

use crate::role::SERVICE_PATH;
use aws::Partition;
use policy::{Document, Grammar, InvalidDocument};
use std::sync::{Arc, OnceLock};

/// A managed policy of AWS.
#[derive(Debug)]
pub struct AwsPolicy {
    pub path: &'static str,
    pub name: &'static str,
    /// The unique id, by which attachments name the policy. It never changes.
    pub id: &'static str,
    pub description: &'static str,
    /// The number of the default version.
    pub version: i64,
    /// Seconds since 1970.
    pub created_at: i64,
    /// When the default version was made, in seconds since 1970.
    pub updated_at: i64,
    pub document: &'static str,
    parsed: OnceLock<Result<Arc<Document>, InvalidDocument>>,
}

/// The account of AWS in the ARNs of its policies.
pub(crate) const ACCOUNT: &str = "aws";

impl AwsPolicy {
    /// Finds a policy by its path and name, which are compared with case.
    pub fn named(path: &str, name: &str) -> Option<&'static AwsPolicy> {
        ALL.iter().find(|policy| policy.path == path && policy.name == name)
    }

    /// Finds a policy by its unique id.
    pub fn by_id(id: &str) -> Option<&'static AwsPolicy> {
        ALL.iter().find(|policy| policy.id == id)
    }

    /// `arn:PARTITION:iam::aws:policy/PATH/NAME`.
    pub fn arn(&self, partition: Partition) -> String {
        format!("arn:{partition}:iam::{ACCOUNT}:policy{}{}", self.path, self.name)
    }

    /// Returns false for the policies of service-linked roles, which can't be attached to others.
    pub fn is_attachable(&self) -> bool {
        self.path != SERVICE_PATH
    }

    /// The parsed document. It is parsed once per process.
    pub(crate) fn parsed(&self) -> Result<Arc<Document>, InvalidDocument> {
        let parse = || Document::parse(self.document, Grammar::Identity).map(Arc::new);
        self.parsed.get_or_init(parse).clone()
    }
}

/// Every policy, ordered by name.
pub static ALL: [AwsPolicy; 13] = [
    AwsPolicy {
        path: "/",
        name: "AdministratorAccess",
        id: "ANPAIWMBCKSKIEE64ZLYK",
        description: "Provides full access to AWS services and resources.",
        version: 1,
        created_at: 1_423_247_940,
        updated_at: 1_423_247_940,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "*",
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonEC2ContainerRegistryFullAccess",
        id: "ANPAIESRL7KD7IIVF6V4W",
        description: "Provides administrative access to Amazon ECR resources",
        version: 3,
        created_at: 1_450_717_560,
        updated_at: 1_607_126_640,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:*",
                "cloudtrail:LookupEvents"
            ],
            "Resource": "*"
        },
        {
            "Effect": "Allow",
            "Action": ["iam:CreateServiceLinkedRole"],
            "Resource": "*",
            "Condition": {"StringEquals": {"iam:AWSServiceName": ["replication.ecr.amazonaws.com"]}}
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonEC2ContainerRegistryPowerUser",
        id: "ANPAJDNE5PIHROIBGGDDW",
        description: "Provides full access to Amazon EC2 Container Registry repositories, but does not allow repository deletion or policy changes.",
        version: 3,
        created_at: 1_450_717_500,
        updated_at: 1_576_010_880,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:GetRepositoryPolicy",
                "ecr:DescribeRepositories",
                "ecr:ListImages",
                "ecr:DescribeImages",
                "ecr:BatchGetImage",
                "ecr:GetLifecyclePolicy",
                "ecr:GetLifecyclePolicyPreview",
                "ecr:ListTagsForResource",
                "ecr:DescribeImageScanFindings",
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
                "ecr:PutImage"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonEC2ContainerRegistryPullOnly",
        id: "ANPAECRUPULLONLYAAAAA",
        description: "Provides access to pull images from Amazon EC2 Container Registry repositories.",
        version: 1,
        created_at: 1_728_061_080,
        updated_at: 1_728_061_080,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchImportUpstreamImage"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonEC2ContainerRegistryReadOnly",
        id: "ANPAIFYZPA37OOHVIH7KQ",
        description: "Provides read-only access to Amazon EC2 Container Registry repositories.",
        version: 3,
        created_at: 1_450_717_440,
        updated_at: 1_576_011_360,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:GetRepositoryPolicy",
                "ecr:DescribeRepositories",
                "ecr:ListImages",
                "ecr:DescribeImages",
                "ecr:BatchGetImage",
                "ecr:GetLifecyclePolicy",
                "ecr:GetLifecyclePolicyPreview",
                "ecr:ListTagsForResource",
                "ecr:DescribeImageScanFindings"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/service-role/",
        name: "AmazonECSTaskExecutionRolePolicy",
        id: "ANPAJG4T4G4PV56DE72PY",
        description: "Provides access to other AWS service resources that are required to run Amazon ECS tasks",
        version: 1,
        created_at: 1_510_858_080,
        updated_at: 1_510_858_080,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
                "logs:CreateLogStream",
                "logs:PutLogEvents"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonElasticContainerRegistryPublicFullAccess",
        id: "ANPAECRUPUBLICFULLAAA",
        description: "Provides administrative access to Amazon ECR Public resources",
        version: 1,
        created_at: 1_606_843_500,
        updated_at: 1_606_843_500,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr-public:*",
                "sts:GetServiceBearerToken"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonElasticContainerRegistryPublicPowerUser",
        id: "ANPAECRUPUBLICPOWERAA",
        description: "Provides full access to Amazon ECR Public repositories, but does not allow repository deletion or policy changes.",
        version: 1,
        created_at: 1_606_839_360,
        updated_at: 1_606_839_360,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr-public:GetAuthorizationToken",
                "sts:GetServiceBearerToken",
                "ecr-public:BatchCheckLayerAvailability",
                "ecr-public:GetRepositoryPolicy",
                "ecr-public:DescribeRepositories",
                "ecr-public:DescribeRegistries",
                "ecr-public:DescribeImages",
                "ecr-public:DescribeImageTags",
                "ecr-public:GetRepositoryCatalogData",
                "ecr-public:GetRegistryCatalogData",
                "ecr-public:InitiateLayerUpload",
                "ecr-public:UploadLayerPart",
                "ecr-public:CompleteLayerUpload",
                "ecr-public:PutImage"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AmazonElasticContainerRegistryPublicReadOnly",
        id: "ANPAECRUPUBLICREADAAA",
        description: "Provides read-only access to Amazon ECR Public repositories.",
        version: 1,
        created_at: 1_606_843_620,
        updated_at: 1_606_843_620,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr-public:GetAuthorizationToken",
                "sts:GetServiceBearerToken",
                "ecr-public:BatchCheckLayerAvailability",
                "ecr-public:GetRepositoryPolicy",
                "ecr-public:DescribeRepositories",
                "ecr-public:DescribeRegistries",
                "ecr-public:DescribeImages",
                "ecr-public:DescribeImageTags",
                "ecr-public:GetRepositoryCatalogData",
                "ecr-public:GetRegistryCatalogData"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: "/",
        name: "AWSDenyAll",
        id: "ANPAECRUDENYALLAAAAAA",
        description: "Deny all access.",
        version: 2,
        created_at: 1_556_750_160,
        updated_at: 1_702_917_720,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "DenyAll",
            "Effect": "Deny",
            "Action": ["*"],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: SERVICE_PATH,
        name: "AWSECRPullThroughCache_ServiceRolePolicy",
        id: "ANPAECRUPULLTHROUGHAA",
        description: "Enables access to AWS services and resources used or managed by AWS ECR pull through cache",
        version: 3,
        created_at: 1_637_963_460,
        updated_at: 1_741_296_120,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "ECR",
            "Effect": "Allow",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
                "ecr:PutImage",
                "ecr:BatchGetImage",
                "ecr:BatchImportUpstreamImage",
                "ecr:GetDownloadUrlForLayer",
                "ecr:GetImageCopyStatus"
            ],
            "Resource": "*"
        },
        {
            "Sid": "SecretsManager",
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue"],
            "Resource": "arn:*:secretsmanager:*:*:secret:ecr-pullthroughcache/*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: SERVICE_PATH,
        name: "ECRReplicationServiceRolePolicy",
        id: "ANPAECRUREPLICATIONAA",
        description: "Enables access to AWS services and Resources used or managed by ECR Replication",
        version: 1,
        created_at: 1_607_119_860,
        updated_at: 1_607_119_860,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:CreateRepository",
                "ecr:ReplicateImage"
            ],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
    AwsPolicy {
        path: SERVICE_PATH,
        name: "ECRTemplateServiceRolePolicy",
        id: "ANPAECRUTEMPLATEAAAAA",
        description: "Allows actions to be performed when using AWS ECR repository creation templates",
        version: 1,
        created_at: 1_718_838_660,
        updated_at: 1_718_838_660,
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "CreateRepositoryWithTemplate",
            "Effect": "Allow",
            "Action": ["ecr:CreateRepository"],
            "Resource": "*"
        }
    ]
}"#,
        parsed: OnceLock::new(),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_policy_is_valid_and_has_its_own_id_in_the_form_of_aws() {
        let is_letter = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
        for policy in &ALL {
            policy.parsed().unwrap();
            assert!(policy.id.starts_with("ANPA") && policy.id.len() == 21, "{}", policy.name);
            assert!(policy.id.chars().all(is_letter), "{}", policy.name);
            assert!(policy.created_at <= policy.updated_at, "{}", policy.name);
        }
        assert_eq!(ALL.iter().map(|policy| policy.id).collect::<BTreeSet<_>>().len(), ALL.len());
        assert!(ALL.is_sorted_by_key(|policy| policy.name.to_ascii_lowercase()));
    }
}
