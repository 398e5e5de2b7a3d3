//! The laws of this dialect, and what it makes of other dialects' words.
