//! Thinking that was asked for without saying how much, where a model can be told only an amount.

use super::{Capabilities, Effort, Field, LossKind, Losses, Num, Reasoning, ReasoningStyle};

/// The amount that stands for thinking without one.
const MIDDLE: Effort = Effort::Medium;

impl Reasoning {
    /// Whether the caller wants thoughts (`thinking.type` `adaptive` or `enabled` of Anthropic,
    /// `thinkingBudget` -1 or `includeThoughts` of Gemini) and gave no measure of them.
    pub(crate) fn is_unmeasured(&self) -> bool {
        let measure = self.effort.is_some() || self.budget.as_ref().and_then(Num::as_u64).is_some();
        let shown = self.summary.as_ref().is_some_and(|word| word != "none");
        let wanted = self.enabled.unwrap_or(shown || self.budget.is_some());
        wanted && !measure
    }
}

/// The word to say for thinking that is [unmeasured](Reasoning::is_unmeasured), and its loss. Models
/// whose thinking can be turned off think only when told, the others by themselves (OpenAI's reference
/// of `reasoning_effort`: GPT-5.1 defaults to `none`, models that do not know `none` to `medium`). Who
/// only wants to see thoughts has not asked for more of them.
pub(crate) fn unmeasured(reasoning: &Reasoning, capabilities: &Capabilities, losses: &mut Losses) -> Option<Effort> {
    if !reasoning.is_unmeasured() {
        return None;
    }
    let told = capabilities.reasoning == ReasoningStyle::Effort && capabilities.reasoning_off;
    if told && reasoning.enabled == Some(true) {
        let why = format!("thinking without a measure became effort {}", MIDDLE.word());
        losses.param(Field::Reasoning, LossKind::Approximated, why);
        return Some(MIDDLE);
    }
    losses.param(Field::Reasoning, LossKind::Approximated, "the model thinks as it sees fit");
    None
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    fn say(reasoning: &Reasoning, reasoning_off: bool, style: ReasoningStyle) -> (Option<Effort>, Vec<String>) {
        let capabilities = Capabilities { reasoning_off, reasoning: style, ..Capabilities::default() };
        let mut losses = Losses::new(Dialect::Anthropic, Dialect::OpenAiChat);
        let effort = unmeasured(reasoning, &capabilities, &mut losses);
        (effort, losses.seal(String::new()).unwrap().losses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn models_that_think_only_when_told_are_told() {
        let on = Reasoning { enabled: Some(true), ..Reasoning::default() };
        let (medium, free) = (
            vec!["thinking approximated: thinking without a measure became effort medium".to_owned()],
            vec!["thinking approximated: the model thinks as it sees fit".to_owned()],
        );
        assert_eq!(say(&on, true, ReasoningStyle::Effort), (Some(Effort::Medium), medium));
        assert_eq!(say(&on, false, ReasoningStyle::Effort), (None, free.clone()));
        assert_eq!(say(&on, true, ReasoningStyle::Budget), (None, free.clone()));
        let shown = Reasoning { summary: Some("auto".into()), ..Reasoning::default() };
        assert_eq!(say(&shown, true, ReasoningStyle::Effort), (None, free.clone()));
        let odd = Reasoning { budget: Some(Num::checked("-2")), ..Reasoning::default() };
        assert_eq!(say(&odd, true, ReasoningStyle::Effort), (None, free));
    }

    #[test]
    fn a_measure_and_off_are_no_loss() {
        let effort = Reasoning { effort: Some(Effort::Low), enabled: Some(true), ..Reasoning::default() };
        let budget = Reasoning { budget: Some(Num::whole(5)), summary: Some("auto".into()), ..Reasoning::default() };
        let off = Reasoning { enabled: Some(false), summary: Some("auto".into()), ..Reasoning::default() };
        let hidden = Reasoning { summary: Some("none".into()), ..Reasoning::default() };
        for reasoning in [effort, budget, off, hidden, Reasoning::default()] {
            assert_eq!(say(&reasoning, true, ReasoningStyle::Effort), (None, vec![]), "{reasoning:?}");
        }
    }
}
