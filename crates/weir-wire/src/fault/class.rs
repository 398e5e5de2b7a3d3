//! The sorts of failures.

/// The status that stands for the failure of an upstream in a stream that has begun.
pub(crate) const IN_STREAM: u16 = 502;

/// What sort of failure an upstream's error is, whoever reported it and however.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request is wrong; it will be at every further try.
    InvalidRequest,
    /// The prompt, or the prompt and the answer asked for, exceed what the model can hold.
    ContextLength,
    /// The provider's filter refused the prompt or the answer.
    ContentFilter,
    /// The credentials are missing, wrong or expired: the gateway's, not the caller's.
    Authentication,
    /// The credentials are good, but not for this.
    Permission,
    /// There is no such model (or endpoint).
    NotFound,
    /// The account is out of credit or beyond what it may spend. Waiting does not help.
    Quota,
    /// Too many requests or tokens for now.
    RateLimit,
    /// The provider has no capacity for now.
    Overloaded,
    /// The provider took too long.
    Timeout,
    /// The provider failed.
    Server,
    /// The request has too many bytes.
    TooLarge,
    /// Neither status nor words tell.
    #[default]
    Unknown,
}

impl ErrorClass {
    /// Whether the same request may succeed at the same target later, because the failure is
    /// neither the request's nor the account's. Of [`ErrorClass::Unknown`] nobody knows: it may.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::RateLimit | Self::Overloaded | Self::Timeout | Self::Server | Self::Unknown)
    }

    /// Whether the same request may succeed at another provider's account. It does not where the
    /// request itself is wrong everywhere; a longer context or another filter may still take it.
    #[must_use]
    pub fn may_succeed_elsewhere(self) -> bool {
        !matches!(self, Self::InvalidRequest)
    }

    /// The HTTP status that stands for it, where none was sent. [`ErrorClass::Unknown`] has none.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        Some(match self {
            Self::InvalidRequest | Self::ContextLength | Self::ContentFilter => 400,
            Self::Authentication => 401,
            Self::Quota => 402,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Server => 500,
            Self::Overloaded => 503,
            Self::Timeout => 504,
            Self::Unknown => return None,
        })
    }

    /// The class for an HTTP status alone.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 498 => Self::Authentication,
            402 => Self::Quota,
            403 => Self::Permission,
            404 | 410 => Self::NotFound,
            408 | 504 | 522 | 524 => Self::Timeout,
            413 | 414 | 431 => Self::TooLarge,
            429 => Self::RateLimit,
            // AWS: the model, and nothing about the request, failed.
            424 => Self::Server,
            400..=499 => Self::InvalidRequest,
            503 | 529 => Self::Overloaded,
            500..=599 => Self::Server,
            _ => Self::Unknown,
        }
    }

    /// Whether it blames the credentials, which are the gateway's.
    #[must_use]
    pub fn blames_credentials(self) -> bool {
        matches!(self, Self::Authentication | Self::Permission)
    }

    /// The class, unless an answer with this status must not say so: 5xx with a class that blames
    /// the credentials is the gateway's way to tell a caller that they are not theirs. Within a
    /// stream, whose caller's credentials were good enough, [`IN_STREAM`] stands for the status.
    pub(crate) fn shown_with(self, status: u16) -> Self {
        if status >= 500 && self.blames_credentials() { Self::of_status(status) } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_status_has_a_class_and_every_class_its_status() {
        for status in 400..600 {
            let class = ErrorClass::of_status(status);
            assert_ne!(class, ErrorClass::Unknown, "{status}");
            assert_eq!(class.status().map(ErrorClass::of_status), Some(class), "{status}");
        }
        assert_eq!(ErrorClass::of_status(200), ErrorClass::Unknown);
        assert_eq!(ErrorClass::Unknown.status(), None);
    }

    #[test]
    fn credentials_are_blamed_with_their_own_status_only() {
        assert_eq!(ErrorClass::Authentication.shown_with(401), ErrorClass::Authentication);
        assert_eq!(ErrorClass::Authentication.shown_with(502), ErrorClass::Server);
        assert_eq!(ErrorClass::Overloaded.shown_with(500), ErrorClass::Overloaded);
    }

    #[test]
    fn what_passes_is_nobody_s_fault() {
        assert!(ErrorClass::RateLimit.passes() && ErrorClass::Timeout.passes());
        assert!(!ErrorClass::Quota.passes() && !ErrorClass::ContextLength.passes());
        assert!(ErrorClass::Quota.may_succeed_elsewhere() && !ErrorClass::InvalidRequest.may_succeed_elsewhere());
    }
}
