//! The STS door (query protocol, `ECR.md` P).
