//! x
use super::Lab;
use crate::shell::Result;
pub(super) async fn prove(_lab: &Lab) -> Result { Ok(()) }
