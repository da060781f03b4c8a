//! The ECR door: one file per capability, each operation with its input, limits and permissions.
