//! The laws of this dialect, and what comes from and goes to others.
