//! Whether the targets of a request can serve it at all, before anybody is asked.

use std::sync::Arc;

use crate::dispatch::afford::MEDIA;
use crate::dispatch::{Job, count};
use crate::error::ApiError;
use crate::flight::Caller;
use crate::route::needs::{Needs, window};
use crate::route::plan::Skip;
use crate::snapshot::{Snapshot, Target};

/// Names offered to a caller whose model cannot.
const OFFERED: usize = 5;
/// Models of the catalogue that are looked at for an offer.
const LOOKED_AT: usize = 300;

/// Leaves out the targets that cannot serve the request.
///
/// # Errors
/// 400 when none can: what they lack, and which configured models do not.
pub(super) async fn keep_able(job: &mut Job, snapshot: &Snapshot, caller: Option<&Caller>) -> Result<(), ApiError> {
    let suspects = job.plan.iter().any(|step| may_lack(job, &step.target));
    if !suspects {
        return Ok(());
    }
    // What cannot be read here is for the provider to judge.
    let Ok(request) = job.hub() else { return Ok(()) };
    let mut needs = Needs::of(request);
    if job.plan.iter().any(|step| may_be_long(job, &step.target)) {
        needs.tokens = counted(job).await;
    }
    let lacking = job.plan.iter().map(|step| needs.lacking(&step.target)).collect::<Vec<_>>();
    if lacking.iter().all(|lacks| !lacks.is_empty()) {
        let first = job.plan.first().zip(lacking.first());
        return Err(first.map_or_else(
            || ApiError::overloaded("no target"),
            |(step, lacks)| unable(&step.target, lacks, &able(&needs, snapshot, caller), &needs),
        ));
    }
    for (step, lacks) in job.plan.iter_mut().zip(lacking) {
        if !lacks.is_empty() {
            step.skip = Some(Skip::Lacks(lacks));
        }
    }
    Ok(())
}

/// Whether the target is known to lack something that the body, at a glance, may need.
fn may_lack(job: &Job, target: &Target) -> bool {
    let can = &target.capabilities;
    let blind = !(can.images && can.documents && can.audio && can.video);
    (!can.tools && job.peek.has_member(&job.body, "tools"))
        || (blind && MEDIA.is_match(&*job.body))
        || may_be_long(job, target)
}

/// By its size the prompt may be too long: it is worth counting.
fn may_be_long(job: &Job, target: &Target) -> bool {
    window(target).is_some_and(|window| job.prompt_tokens > window)
}

/// The prompt's tokens by the model's own tokenizer. Where that is not public an estimate is no reason
/// to refuse.
async fn counted(job: &Job) -> Option<u64> {
    let target = &job.plan.first()?.target;
    if !count::is_exact(target) {
        return None;
    }
    count::counted_here(job.hub().ok()?, target).await.ok()
}

fn unable(target: &Target, lacks: &[String], able: &[String], needs: &Needs) -> ApiError {
    let hint = match able {
        [] => "no configured model is known to".to_owned(),
        names => format!("these can: {}", names.join(", ")),
    };
    let message = format!("{} cannot take {}; {hint}", target.name, lacks.join(", "));
    let too_long = window(target).zip(needs.tokens).is_some_and(|(window, tokens)| tokens > window);
    let code = if too_long && lacks.len() == 1 { "context_length_exceeded" } else { "unsupported_by_model" };
    ApiError::invalid(code, message).param("model").no_retry()
}

/// Models that can and that the caller may use: those of the configuration, else of the catalogue.
fn able(needs: &Needs, snapshot: &Snapshot, caller: Option<&Caller>) -> Vec<String> {
    let may = |name: &str| caller.is_none_or(|caller| caller.key.rights.allows(name));
    let can = |target: &Arc<Target>| !target.talks.is_empty() && needs.lacking(target).is_empty();
    let routes = snapshot.routes.values().filter(|route| may(&route.name) && route.targets.iter().any(can));
    let mut names: Vec<String> = routes.map(|route| route.name.to_string()).take(OFFERED).collect();
    if !names.is_empty() {
        return names;
    }
    for provider in snapshot.providers.values() {
        let known = snapshot.models_of(provider).into_iter().take(LOOKED_AT);
        let fits = known.map(|model| snapshot.target(provider, &model, 1)).filter(|target| {
            let certain =
                target.info.as_ref().is_some_and(|info| info.capabilities().vision == Some(true)) || !needs.images;
            certain && may(&target.name) && !target.talks.is_empty() && needs.lacking(target).is_empty()
        });
        names.extend(fits.map(|target| target.name.to_string()).take(OFFERED - names.len()));
        if names.len() >= OFFERED {
            break;
        }
    }
    names
}
