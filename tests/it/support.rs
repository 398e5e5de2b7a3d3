//! What several test files need.

pub(crate) mod gateway;
pub(crate) mod postgres;
pub(crate) mod upstream;
