//! What several test files need.

pub(crate) mod binary;
pub(crate) mod database;
pub(crate) mod gateway;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod upstream;
