//! What a text is embedded for, in the words of each form.

use super::Api;
use crate::bedrock::embed::Style;

/// What a text is embedded for. Models with several heads or prefixes do better when told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To be put in classes.
    Classification,
    /// To be put in groups.
    Clustering,
    /// To be compared with its like.
    Similarity,
    /// A question to be answered.
    QuestionAnswering,
    /// A statement to be checked.
    FactVerification,
    /// To search code with.
    CodeQuery,
    /// Code to be found.
    CodeDocument,
}

/// Words of Cohere, Gemini, Voyage, Jina. Empty where there is none.
const WORDS: [(Purpose, [&str; 4]); 9] = [
    (Purpose::Query, ["search_query", "RETRIEVAL_QUERY", "query", "retrieval.query"]),
    (Purpose::Document, ["search_document", "RETRIEVAL_DOCUMENT", "document", "retrieval.passage"]),
    (Purpose::Classification, ["classification", "CLASSIFICATION", "", "classification"]),
    (Purpose::Clustering, ["clustering", "CLUSTERING", "", "separation"]),
    (Purpose::Similarity, ["", "SEMANTIC_SIMILARITY", "", "text-matching"]),
    (Purpose::QuestionAnswering, ["", "QUESTION_ANSWERING", "", ""]),
    (Purpose::FactVerification, ["", "FACT_VERIFICATION", "", ""]),
    (Purpose::CodeQuery, ["", "CODE_RETRIEVAL_QUERY", "", "code.query"]),
    (Purpose::CodeDocument, ["", "", "", "code.passage"]),
];

impl Purpose {
    /// Reads a word of any form; `passage` is NVIDIA's for a document.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        if word == "passage" {
            return Some(Self::Document);
        }
        let known = WORDS.iter().find(|(_, words)| !word.is_empty() && words.contains(&word));
        known.map(|(purpose, _)| *purpose)
    }

    /// The word for it in this form, if there is one.
    #[must_use]
    pub fn word(self, api: Api) -> Option<&'static str> {
        let column = match api {
            Api::Cohere | Api::Bedrock(Style::CohereV3 | Style::CohereV4) => 0,
            Api::Gemini | Api::Vertex => 1,
            Api::Voyage => 2,
            Api::Jina => 3,
            Api::OpenAi | Api::Tei | Api::FeatureExtraction | Api::Ollama | Api::Bedrock(_) => return None,
        };
        let (_, words) = WORDS.iter().find(|(purpose, _)| *purpose == self)?;
        words.get(column).copied().filter(|word| !word.is_empty())
    }
}
