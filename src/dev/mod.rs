//! What a bare machine lacks: a real Redis and an S3 server, started for `darkroom dev`, the demo and nobody else.

pub mod redis;
