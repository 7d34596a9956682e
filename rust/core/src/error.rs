//! Errors that say who found what, what was expected, what was received, and what may help.

use std::fmt;

/// What went wrong, as far as a caller may want to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value or a shape does not fit.
    Value,
    /// A dtype or the type of an argument does not fit.
    Type,
    /// An index is out of range.
    Index,
    /// Memory could not be had.
    Memory,
    /// The operation is not offered.
    Unsupported,
    /// A state that only a defect of rkeras can bring about.
    Internal,
}

/// The one error type of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The case.
    pub kind: Kind,
    /// The op, layer or function that found it.
    pub who: String,
    /// What it needs.
    pub expected: String,
    /// What it got.
    pub received: String,
    /// What to try; may be empty.
    pub hint: String,
}

/// A result with the core's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the given kind.
    pub fn new(
        kind: Kind,
        who: impl Into<String>,
        expected: impl Into<String>,
        received: impl Into<String>,
    ) -> Error {
        Error {
            kind,
            who: who.into(),
            expected: expected.into(),
            received: received.into(),
            hint: String::new(),
        }
    }

    /// A value or shape that does not fit.
    pub fn value(who: impl Into<String>, expected: impl Into<String>, received: impl Into<String>) -> Error {
        Error::new(Kind::Value, who, expected, received)
    }

    /// A dtype or argument type that does not fit.
    pub fn dtype(who: impl Into<String>, expected: impl Into<String>, received: impl Into<String>) -> Error {
        Error::new(Kind::Type, who, expected, received)
    }

    /// An index that is out of range.
    pub fn index(who: impl Into<String>, expected: impl Into<String>, received: impl Into<String>) -> Error {
        Error::new(Kind::Index, who, expected, received)
    }

    /// A state that only a defect of rkeras can bring about.
    pub fn internal(who: impl Into<String>, what: impl Into<String>) -> Error {
        Error::new(Kind::Internal, who, "a consistent state", what)
            .hint("this is a defect of rkeras; please report it with the program that shows it")
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}. Received: {}.", self.who, self.expected, self.received)?;
        if !self.hint.is_empty() {
            write!(f, " Hint: {}.", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<rkeras_kernels::buffer::AllocError> for Error {
    fn from(e: rkeras_kernels::buffer::AllocError) -> Error {
        let gib = e.bytes as f64 / (1u64 << 30) as f64;
        Error::new(
            Kind::Memory,
            "allocate",
            "memory for a tensor",
            format!("a request for {} bytes ({gib:.1} GiB) that the system cannot serve", e.bytes),
        )
        .hint("check the shape; a smaller batch or layer needs less")
    }
}
