//! Where a provider's models run, as far as that changes what they cost.

use crate::catalog::Catalog;

/// Where the data says that the place matters. Hosts: the SDKs' regional base URLs of OpenAI, which its price
/// list calls regional processing; the regions of Bedrock's hosts; Vertex AI's locations, of which the global
/// one alone has no surcharge.
const OPENAI: [(&str, &str); 2] =
    [("eu.api.openai.com", "regional_processing_eu"), ("us.api.openai.com", "regional_processing_us")];
const VERTEX: &str = "vertex";
const OF_VERTEX: &str = "regional_endpoint";
const GLOBAL: &str = "global";

/// Under which name, and of which region, the catalogue lists a provider's models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The catalogue's provider.
    pub kind: String,
    /// The region whose rows hold, where there are any.
    pub region: Option<String>,
    /// The model's factor that holds, where it has one.
    pub factor: Option<&'static str>,
}

impl Place {
    /// Any place.
    #[must_use]
    pub fn anywhere(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    /// Where a provider of this kind is, by its base URL, else by the region that its configuration names.
    #[must_use]
    pub fn of(kind: &str, base_url: &str, named: Option<&str>) -> Self {
        let host = base_url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        let (region, factor) = match kind {
            "openai" => (None, OPENAI.into_iter().find(|(known, _)| *known == host).map(|(_, factor)| factor)),
            VERTEX => (None, location(base_url).or(named).filter(|at| *at != GLOBAL).map(|_| OF_VERTEX)),
            "bedrock" | "bedrock_mantle" => (of_bedrock(host).or(named).map(str::to_owned), None),
            _ => (None, None),
        };
        Self { kind: kind.to_owned(), region, factor }
    }

    /// The providers whose price depends on where they are.
    pub fn matters() -> impl Iterator<Item = &'static crate::catalog::Provider> {
        ["bedrock", "bedrock_mantle", "openai", VERTEX].into_iter().filter_map(|id| Catalog::embedded().provider(id))
    }
}

/// `https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1`
fn location(base_url: &str) -> Option<&str> {
    base_url.split_once("/locations/")?.1.split('/').next().filter(|location| !location.is_empty())
}

/// `bedrock-runtime.eu-central-1.amazonaws.com`, `bedrock-mantle.us-east-1.api.aws`
fn of_bedrock(host: &str) -> Option<&str> {
    let (service, rest) = host.split_once('.')?;
    let (region, domain) = rest.split_once('.')?;
    (service.starts_with("bedrock") && matches!(domain, "amazonaws.com" | "api.aws")).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_off_the_base_url() {
        let of = |kind: &str, url: &str, named| {
            let place = Place::of(kind, url, named);
            (place.region, place.factor)
        };
        let region = |name: &str| Some(name.to_owned());
        assert_eq!(of("openai", "https://eu.api.openai.com/v1", None), (None, Some("regional_processing_eu")));
        assert_eq!(of("openai", "https://us.api.openai.com/v1", None), (None, Some("regional_processing_us")));
        for url in ["https://api.openai.com/v1", "https://jp.api.openai.com/v1", "https://x/eu.api.openai.com", ""] {
            assert_eq!(of("openai", url, Some("eu")), (None, None), "{url}");
        }
        let vertex = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1";
        assert_eq!(of("vertex", vertex, None).1, Some("regional_endpoint"));
        assert_eq!(of("vertex", "https://aiplatform.googleapis.com/v1/projects/p/locations/global", None).1, None);
        assert_eq!(of("vertex", "https://proxy.example/v1", Some("us-east5")).1, Some("regional_endpoint"));
        assert_eq!(
            of("bedrock", "https://bedrock-runtime.us-gov-west-1.amazonaws.com", None).0,
            region("us-gov-west-1")
        );
        assert_eq!(of("bedrock_mantle", "https://bedrock-mantle.eu-central-1.api.aws", None).0, region("eu-central-1"));
        assert_eq!(of("bedrock", "https://vpce-1.example.com", Some("eu-west-1")).0, region("eu-west-1"));
        assert_eq!(of("bedrock", "https://vpce-1.example.com", None).0, None);
        assert_eq!(of("anthropic", "https://bedrock-runtime.us-gov-west-1.amazonaws.com", None), (None, None));
        assert_eq!(Place::matters().count(), 4, "each is in the catalogue");
    }
}
