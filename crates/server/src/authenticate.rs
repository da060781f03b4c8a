//! From what a request carries to its caller: signatures for the AWS doors, tokens for the docker door.
