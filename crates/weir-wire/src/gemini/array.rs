//! A stream that is one JSON array, cut into its elements.

use std::fmt;

use crate::json::MAX_DEPTH;

/// Why bytes are no array of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// Something else than an array, or more than one.
    NotAnArray,
    /// An element of more bytes than the limit, or nested too deeply.
    TooLarge,
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnArray => "the stream is no JSON array",
            Self::TooLarge => "an element of the stream is too large",
        })
    }
}

impl std::error::Error for ArrayError {}

/// Cuts a JSON array that comes in pieces into its elements. Any cutting of the bytes gives the same
/// elements. An element is not validated: whoever reads it does that.
///
/// A single object without an array around it (an error, or a short answer) is its one element.
#[derive(Debug)]
pub struct ArrayFramer {
    limit: usize,
    held: Vec<u8>,
    place: Where,
    depth: usize,
    text: bool,
    escaped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Before,
    Inside,
    After,
    Failed,
}

impl ArrayFramer {
    /// A framer that refuses elements of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), place: Where::Before, depth: 0, text: false, escaped: false }
    }

    /// Takes the next bytes and appends the elements that end in them. Behind an error nothing is read.
    pub fn push(&mut self, bytes: &[u8], elements: &mut Vec<Vec<u8>>) -> Result<(), ArrayError> {
        for byte in bytes {
            if let Err(error) = self.byte(*byte, elements) {
                self.place = Where::Failed;
                self.held = Vec::new();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the array has ended.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.place == Where::After
    }

    fn byte(&mut self, byte: u8, elements: &mut Vec<Vec<u8>>) -> Result<(), ArrayError> {
        if self.depth > 0 {
            return self.element(byte, elements);
        }
        match (self.place, byte) {
            (Where::Failed, _) => Ok(()),
            (_, b' ' | b'\t' | b'\r' | b'\n') | (Where::Inside, b',') => Ok(()),
            (Where::Before, b'[') => {
                self.place = Where::Inside;
                Ok(())
            }
            (Where::Inside, b']') => {
                self.place = Where::After;
                Ok(())
            }
            (Where::Before | Where::Inside, b'{') => self.element(byte, elements),
            _ => Err(ArrayError::NotAnArray),
        }
    }

    fn element(&mut self, byte: u8, elements: &mut Vec<Vec<u8>>) -> Result<(), ArrayError> {
        if self.held.len() >= self.limit {
            return Err(ArrayError::TooLarge);
        }
        self.held.push(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.text => self.escaped = true,
            b'"' => self.text = !self.text,
            _ if self.text => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        if self.depth > MAX_DEPTH {
            return Err(ArrayError::TooLarge);
        }
        if self.depth == 0 {
            elements.push(std::mem::take(&mut self.held));
            if self.place == Where::Before {
                self.place = Where::After;
            }
        }
        Ok(())
    }
}
