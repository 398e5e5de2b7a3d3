//! A time zone by its IANA name.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The zones that came with the binary. What the machine has is not asked, so that replicas on different
/// machines agree about when a day ends.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Not a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time zone of the IANA database, such as \"UTC\" or \"Europe/Berlin\"")]
pub struct UnknownZone;

impl Zone {
    /// The zone of that name, in whatever case.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let zone = BUNDLED.get(name).map_err(|_| UnknownZone)?;
        // `Etc/Unknown` is no place; a zone without a name could not be stored.
        if zone.is_unknown() || zone.iana_name().is_none() { Err(UnknownZone) } else { Ok(Self(zone)) }
    }

    /// Its name, as the database writes it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        Self::parse(name)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_the_databases_name() {
        for (asked, name) in [("UTC", "UTC"), ("europe/berlin", "Europe/Berlin"), ("Asia/Kolkata", "Asia/Kolkata")] {
            assert_eq!(Zone::parse(asked).unwrap().name(), name);
        }
        assert_eq!(Zone::default(), Zone::parse("utc").unwrap());
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for name in ["", "Berlin", "Etc/Unknown", "EST5EDT,M3.2.0,M11.1.0", "+02:00", "../UTC", "Local", "UTC\0"] {
            assert_eq!(Zone::parse(name), Err(UnknownZone), "{name:?}");
        }
    }
}
