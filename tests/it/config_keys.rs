//! Every key of the configuration acts: for each one there is a test that fails when its wire is
//! cut. [`SHOWN_BY`] names them; those that no other file has are here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weir::clock::Clock;
use weir::config::{Config, ConfigSource, EXAMPLE, Format};
use weir::snapshot::Snapshot;

use crate::support::database::Database;
use crate::support::gateway::{ADMIN, Gateway, Reply, Setup, eventually, one_provider};
use crate::support::upstream::{BlackHole, Script, Upstream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
/// 2026-11-18T11:06:40Z
const EPOCH: i64 = 1_795_000_000_000;

/// Each key of `config/schema.json`, and the test that sets it and sees it act. `*` is a name of the
/// user's choice.
const SHOWN_BY: &[(&str, &str)] = &[
    ("alerts[].email.from", "an_event_comes_as_a_mail_that_people_can_read"),
    ("alerts[].email.smtp.allow_plaintext", "plain_text_leaves_the_machine_only_where_that_is_said"),
    ("alerts[].email.smtp.host", "an_event_comes_as_a_mail_that_people_can_read"),
    ("alerts[].email.smtp.password", "an_event_comes_as_a_mail_that_people_can_read"),
    ("alerts[].email.smtp.port", "an_event_comes_as_a_mail_that_people_can_read"),
    ("alerts[].email.smtp.tls", "mail_goes_through_tls_as_configured"),
    ("alerts[].email.smtp.username", "an_event_comes_as_a_mail_that_people_can_read"),
    ("alerts[].email.to", "an_event_comes_as_a_mail_that_people_can_read"),
    ("alerts[].events", "events_and_receivers_are_listed"),
    ("alerts[].name", "events_and_receivers_are_listed"),
    ("alerts[].retry.attempts", "what_is_not_taken_is_tried_again_and_then_put_aside"),
    ("alerts[].retry.backoff", "waits_are_as_long_as_configured"),
    ("alerts[].retry.max_backoff", "waits_are_as_long_as_configured"),
    ("alerts[].webhook.allow_http", "plain_text_leaves_the_machine_only_where_that_is_said"),
    ("alerts[].webhook.headers", "an_event_is_posted_signed_and_once"),
    ("alerts[].webhook.headers.*", "an_event_is_posted_signed_and_once"),
    ("alerts[].webhook.secret", "an_event_is_posted_signed_and_once"),
    ("alerts[].webhook.url", "an_event_is_posted_signed_and_once"),
    ("auth.admin_key", "the_configured_admin_key_is_the_one"),
    ("auth.required", "without_required_keys_everybody_may_call_on_loopback"),
    ("brake.idle", "a_session_that_runs_away_is_stopped"),
    ("brake.repeats", "a_session_that_runs_away_is_stopped"),
    ("brake.session_turns", "a_session_that_runs_away_is_stopped"),
    ("brake.session_usd", "a_session_that_runs_away_is_stopped"),
    ("budget_policy.unknown", "before_budgets_are_known_requests_are_refused_or_allowed"),
    ("budget_policy.unpriced", "what_has_no_price_is_refused_under_a_budget_or_allowed"),
    ("chaos.enabled", "chaos_makes_calls_go_wrong_where_it_is_enabled"),
    ("chaos.faults[].fault", "chaos_makes_calls_go_wrong_where_it_is_enabled"),
    ("chaos.faults[].model", "chaos_makes_calls_go_wrong_where_it_is_enabled"),
    ("chaos.faults[].provider", "chaos_makes_calls_go_wrong_where_it_is_enabled"),
    ("budgets", "every_budget_of_the_line_counts"),
    ("budgets[].carry_over", "declared_budgets_are_those_of_the_database"),
    ("budgets[].key", "every_budget_of_the_line_counts"),
    ("budgets[].model", "every_budget_of_the_line_counts"),
    ("budgets[].name", "every_budget_of_the_line_counts"),
    ("budgets[].organization", "every_budget_of_the_line_counts"),
    ("budgets[].period", "every_budget_of_the_line_counts"),
    ("budgets[].provider", "every_budget_of_the_line_counts"),
    ("budgets[].tag", "every_budget_of_the_line_counts"),
    ("budgets[].team", "every_budget_of_the_line_counts"),
    ("budgets[].thresholds", "declared_budgets_are_those_of_the_database"),
    ("budgets[].time_zone", "declared_budgets_are_those_of_the_database"),
    ("budgets[].usd", "every_budget_of_the_line_counts"),
    ("budgets[].user", "every_budget_of_the_line_counts"),
    ("database.max_connections", "the_database_gets_so_many_connections_and_no_more"),
    ("database.url", "another_replica_follows_within_a_second"),
    ("include", "an_included_file_counts_and_the_including_one_wins"),
    ("keys", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("keys[].budget.carry_over", "declared_budgets_are_those_of_the_database"),
    ("keys[].budget.period", "what_budgets_come_to_is_told"),
    ("keys[].budget.thresholds", "what_budgets_come_to_is_told"),
    ("keys[].budget.time_zone", "declared_budgets_are_those_of_the_database"),
    ("keys[].budget.usd", "what_budgets_come_to_is_told"),
    ("keys[].expires_at", "a_declared_key_has_rights_limits_and_an_end"),
    ("keys[].key", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("keys[].limits.concurrency", "a_declared_key_has_rights_limits_and_an_end"),
    ("keys[].limits.rpm", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("keys[].limits.tpm", "a_declared_key_has_rights_limits_and_an_end"),
    ("keys[].metadata", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("keys[].models", "a_declared_key_has_rights_limits_and_an_end"),
    ("keys[].name", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("keys[].organization_id", "what_budgets_come_to_is_told"),
    ("keys[].team_id", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("keys[].user_id", "a_declared_key_works_and_leaves_its_metadata_in_the_row"),
    ("ledger.durability", "where_power_losses_must_be_survived_answers_wait_for_the_disk"),
    ("ledger.journal", "what_a_dead_process_left_is_written_once"),
    ("ledger.max_size", "a_full_journal_refuses_what_is_new_and_takes_it_again_when_there_is_room"),
    ("logging.format", "the_log_has_the_form_and_the_level_that_are_configured"),
    ("logging.level", "the_log_has_the_form_and_the_level_that_are_configured"),
    ("models", "fallbacks_of_the_route_and_of_the_body_come_after_its_targets"),
    ("models.*.experiment", "split_gives_the_same_caller_the_same_target_by_weight"),
    ("models.*.fallbacks", "fallbacks_of_the_route_and_of_the_body_come_after_its_targets"),
    ("models.*.fallbacks_on.content_filter", "what_one_target_refuses_goes_where_it_is_said"),
    ("models.*.fallbacks_on.context_length", "what_one_target_refuses_goes_where_it_is_said"),
    ("models.*.hedge.after", "the_second_answers_where_the_first_takes_too_long"),
    ("models.*.hedge.max_percent", "hedges_are_a_share_of_the_requests_and_of_their_cost"),
    ("models.*.hedge.percentile", "the_wait_is_what_nearly_all_answers_take"),
    ("models.*.hash_by", "hash_keeps_a_caller_at_its_target"),
    ("models.*.prefer", "capable_takes_the_best_of_those_that_can"),
    ("models.*.region_required", "wanted_regions_come_first_or_alone"),
    ("models.*.regions", "wanted_regions_come_first_or_alone"),
    ("models.*.retries.attempts", "retries_are_as_many_and_as_far_apart_as_configured"),
    ("models.*.retries.backoff", "retries_are_as_many_and_as_far_apart_as_configured"),
    ("models.*.rules[].if", "conditions_choose_the_targets"),
    ("models.*.rules[].use", "conditions_choose_the_targets"),
    ("models.*.shadow.bill", "nobody_pays_for_a_copy_but_where_that_is_said"),
    ("models.*.shadow.model", "what_differs_is_written_down"),
    ("models.*.shadow.percent", "as_many_are_copied_as_is_said"),
    ("models.*.shadow.provider", "what_differs_is_written_down"),
    ("models.*.strategy", "strategies_choose_as_they_are_named"),
    ("models.*.strict", "a_strict_route_refuses_what_a_lenient_one_warns_of"),
    ("models.*.targets", "a_refused_connection_leads_to_the_next_target"),
    ("models.*.targets[].id", "conditions_choose_the_targets"),
    ("models.*.targets[].model", "a_route_renames_the_model"),
    ("models.*.targets[].provider", "a_refused_connection_leads_to_the_next_target"),
    ("models.*.targets[].region", "wanted_regions_come_first_or_alone"),
    ("models.*.targets[].weight", "strategies_choose_as_they_are_named"),
    ("prices", "the_configurations_prices_go_before_the_catalogues"),
    ("prices.*.above", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.above.*.*", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.audio_input", "every_price_component_is_billed"),
    ("prices.*.audio_output", "every_price_component_is_billed"),
    ("prices.*.cache_read", "every_price_component_is_billed"),
    ("prices.*.cache_write_12h", "every_price_component_is_billed"),
    ("prices.*.cache_write_1h", "every_price_component_is_billed"),
    ("prices.*.cache_write_30m", "every_price_component_is_billed"),
    ("prices.*.cache_write_5m", "every_price_component_is_billed"),
    ("prices.*.cache_write_default", "every_price_component_is_billed"),
    ("prices.*.char_input", "every_price_component_is_billed"),
    ("prices.*.effective_from", "prices_come_into_force_by_the_clock"),
    ("prices.*.image_input", "every_price_component_is_billed"),
    ("prices.*.image_output", "every_price_component_is_billed"),
    ("prices.*.input", "every_price_component_is_billed"),
    ("prices.*.off_peak.hours_utc", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.off_peak.prices", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.off_peak.prices.*", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.off_peak.weekdays", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.output", "every_price_component_is_billed"),
    ("prices.*.per_hour", "every_price_component_is_billed"),
    ("prices.*.per_image", "every_price_component_is_billed"),
    ("prices.*.per_minute", "every_price_component_is_billed"),
    ("prices.*.per_request", "every_price_component_is_billed"),
    ("prices.*.per_search", "every_price_component_is_billed"),
    ("prices.*.per_second", "every_price_component_is_billed"),
    ("prices.*.per_web_search", "every_price_component_is_billed"),
    ("prices.*.reasoning", "every_price_component_is_billed"),
    ("prices.*.tiers", "prices_have_steps_tiers_and_cheap_hours"),
    ("prices.*.tiers.*.*.*.*", "prices_have_steps_tiers_and_cheap_hours"),
    ("providers", "a_chat_goes_the_whole_way"),
    ("providers.*.api_key", "a_providers_limits_hold_for_each_of_its_keys"),
    ("providers.*.auth.access_key_id", "a_key_of_the_configuration_signs_aws_calls"),
    ("providers.*.auth.credentials", "credentials_of_the_configuration_get_google_tokens"),
    ("providers.*.auth.credentials_file", "a_credentials_file_of_the_configuration_gets_google_tokens"),
    ("providers.*.auth.header", "a_providers_headers_and_auth_are_configured"),
    ("providers.*.auth.prefix", "a_providers_headers_and_auth_are_configured"),
    ("providers.*.auth.profile", "a_profile_of_the_configuration_signs_aws_calls"),
    ("providers.*.auth.secret_access_key", "a_key_of_the_configuration_signs_aws_calls"),
    ("providers.*.auth.session_token", "a_key_of_the_configuration_signs_aws_calls"),
    ("providers.*.auth.style", "a_providers_headers_and_auth_are_configured"),
    ("providers.*.base_url", "paths_of_operations_are_configured"),
    ("providers.*.default", "the_default_provider_gets_what_nobody_else_knows"),
    ("providers.*.enabled", "a_provider_that_is_not_enabled_is_not_there"),
    ("providers.*.faults", "faults_are_made_where_they_are_allowed"),
    ("providers.*.headers", "a_providers_headers_and_auth_are_configured"),
    ("providers.*.headers.*", "a_providers_headers_and_auth_are_configured"),
    ("providers.*.health.check.failures", "a_provider_that_fails_its_checks_is_left_alone_without_a_request"),
    ("providers.*.health.check.interval", "checks_come_and_go_with_a_reload"),
    ("providers.*.health.check.path", "a_provider_that_fails_its_checks_is_left_alone_without_a_request"),
    ("providers.*.health.check.successes", "a_provider_that_fails_its_checks_is_left_alone_without_a_request"),
    ("providers.*.health.check.timeout", "a_check_that_is_not_answered_in_time_fails"),
    ("providers.*.health.failures", "a_target_that_fails_is_left_alone_and_tried_again"),
    ("providers.*.health.max_open_for", "a_target_that_fails_is_left_alone_and_tried_again"),
    ("providers.*.health.min_requests", "a_share_of_failures_is_enough"),
    ("providers.*.health.open_for", "a_target_that_fails_is_left_alone_and_tried_again"),
    ("providers.*.health.success_percent", "a_share_of_failures_is_enough"),
    ("providers.*.health.window", "a_share_of_failures_is_enough"),
    ("providers.*.keys", "a_providers_limits_hold_for_each_of_its_keys"),
    ("providers.*.kind", "the_kind_says_what_is_known_of_a_provider"),
    ("providers.*.limits.concurrency", "one_exhausted_upstream_key_leaves_the_others"),
    ("providers.*.limits.rpm", "a_providers_limits_hold_for_each_of_its_keys"),
    ("providers.*.limits.tpm", "an_upstream_at_its_limit_is_passed_over"),
    ("providers.*.operations", "an_operation_the_provider_does_not_serve_is_named"),
    ("providers.*.paths", "paths_of_operations_are_configured"),
    ("providers.*.paths.*", "paths_of_operations_are_configured"),
    ("providers.*.pool.http2", "http2_is_spoken_where_it_is_demanded"),
    ("providers.*.pool.http2_connections", "f10_streams_get_connections_as_they_need_them"),
    ("providers.*.pool.http2_streams", "f10_streams_get_connections_as_they_need_them"),
    ("providers.*.pool.max_idle_per_host", "idle_connections_are_kept_as_configured"),
    ("providers.*.quirks", "quirks_of_a_provider_are_configured"),
    ("providers.*.timeouts.between_chunks", "a_stall_between_chunks_ends_in_a_timeout_event"),
    ("providers.*.timeouts.connect", "a_connection_must_stand_in_time"),
    ("providers.*.timeouts.first_byte", "no_answer_in_time_is_a_504_and_leads_to_the_next_target"),
    ("providers.*.timeouts.total", "an_endless_stream_ends_at_the_total_time"),
    ("providers.*.unsupported", "parameters_a_provider_refuses_are_taken_out_with_a_warning"),
    ("providers.*.usage", "every_usage_rule_acts"),
    ("providers.*.vars", "the_deployments_form_of_azure_has_the_model_in_its_path"),
    ("providers.*.vars.*", "the_deployments_form_of_azure_has_the_model_in_its_path"),
    ("receipts.signing_key", "a_receipts_key_is_made_once_and_may_be_configured"),
    ("reports", "a_report_is_made_once_for_each_period"),
    ("reports[].at", "a_report_is_made_once_for_each_period"),
    ("reports[].every", "a_report_is_made_once_for_each_period"),
    ("reports[].group_by", "a_report_is_made_once_for_each_period"),
    ("reports[].name", "a_report_is_made_once_for_each_period"),
    ("reports[].time_zone", "a_report_is_made_once_for_each_period"),
    ("routing.max_ejected_percent", "not_everything_is_left_alone"),
    ("routing.max_shadows", "a_copy_that_stalls_delays_nobody_and_beyond_the_bound_none_is_made"),
    ("routing.retry_percent", "second_tries_are_a_share_of_all"),
    ("routing.unanswered", "f06_a_try_that_was_waited_for_in_vain_costs_its_prompt"),
    ("server.body_idle_timeout", "a_body_that_stalls_is_given_up"),
    ("server.body_min_rate", "f39_a_body_that_trickles_is_given_up"),
    ("server.body_limit", "large_requests_are_refused"),
    ("server.drain_timeout", "a_stream_that_outlives_the_drain_is_interrupted"),
    ("server.handover", "a_restart_by_hand_over_fails_no_request"),
    ("server.header_timeout", "a_head_that_does_not_come_is_given_up"),
    ("server.idle_timeout", "an_idle_connection_is_closed_in_silence"),
    ("server.listen", "it_listens_where_the_file_says_and_the_flag_goes_before_it"),
    ("server.max_body_memory", "beyond_max_body_memory_the_answer_is_overloaded"),
    ("server.max_connections", "beyond_max_connections_a_client_waits"),
    ("server.max_connections_per_address", "one_address_gets_so_many_connections"),
    ("server.max_in_flight", "beyond_max_in_flight_the_answer_is_overloaded"),
    ("server.metrics_listen", "metrics_have_an_address_of_their_own"),
    ("server.request_timeout", "retries_stop_at_the_deadline"),
    ("server.tls.cert", "https_is_spoken_and_new_certificates_are_taken_up"),
    ("server.tls.client_ca", "clients_need_a_certificate_where_that_is_said"),
    ("server.tls.key", "https_is_spoken_and_new_certificates_are_taken_up"),
    ("server.trusted_proxies", "a_trusted_proxy_tells_whom_it_speaks_for"),
    ("server.write_timeout", "f38_a_client_that_does_not_read_is_given_up"),
    ("server.upload_limit", "large_requests_are_refused"),
    ("keys[].limits.rps", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.rps", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].rps", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].rpm", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("keys[].limits.rph", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.rph", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].rph", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("keys[].limits.rpd", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.rpd", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].rpd", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("keys[].limits.tps", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.tps", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].tps", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].tpm", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("keys[].limits.tph", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.tph", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].tph", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("keys[].limits.tpd", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.tpd", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].tpd", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].concurrency", "what_is_left_is_shown_live"),
    ("limits[].team", "every_declared_limit_holds_for_whom_it_is"),
    ("limits[].user", "every_declared_limit_holds_for_whom_it_is"),
    ("limits[].organization", "every_declared_limit_holds_for_whom_it_is"),
    ("limits[].model", "every_declared_limit_holds_for_whom_it_is"),
    ("limits[].key", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("limits[].provider", "every_kind_of_limit_holds_for_keys_providers_and_the_list"),
    ("providers.*.limits.learn", "what_an_upstream_tells_of_its_limits_is_learned"),
    ("providers.*.queue.max_wait", "who_waits_longer_than_may_be_is_refused_and_who_leaves_makes_room"),
    ("providers.*.queue.max_size", "a_request_waits_for_a_place_in_place_of_a_429"),
    ("keys[].priority", "a_queue_is_fair_between_teams_and_keeps_priorities"),
    ("limit_sharing", "three_replicas_share_six_hundred_a_minute_in_redis"),
    ("redis.url", "three_replicas_share_six_hundred_a_minute_in_redis"),
    ("redis.timeout", "while_redis_is_slow_nobody_waits_longer_than_may_be"),
    ("redis.ca_file", "redis_is_reached_by_tls_whose_authority_is_named"),
    ("redis.on_failure", "while_redis_is_slow_nobody_waits_longer_than_may_be"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The schema's keys, sections left out: what they hold is what acts.
fn schema_keys() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("config/schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut keys = BTreeSet::new();
    walk(&schema, &schema, "", &mut keys);
    let inner = |key: &String| {
        let below = [format!("{key}."), format!("{key}[].")];
        keys.iter().any(|other| below.iter().any(|below| other.starts_with(below)))
    };
    // A map or list of things that are named or told apart is a key of its own.
    let kept = |key: &String| !inner(key) || SHOWN_BY.iter().any(|(shown, _)| shown == key);
    keys.iter().filter(|key| kept(key)).cloned().collect()
}

fn walk(root: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        walk(root, root.pointer(&name[1..]).unwrap(), path, keys);
    }
    for one in ["anyOf", "oneOf", "allOf"].iter().flat_map(|name| schema[*name].as_array().into_iter().flatten()) {
        walk(root, one, path, keys);
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys.insert(path.clone());
        walk(root, property, &path, keys);
    }
    for (name, mark) in [("additionalProperties", ".*"), ("items", "[]")] {
        if schema[name].is_object() {
            let path = format!("{path}{mark}");
            if mark == ".*" {
                keys.insert(path.clone());
            }
            walk(root, &schema[name], &path, keys);
        }
    }
}

/// Every `.rs` file below a folder, with its path from the project's root.
pub(crate) fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_key_names_a_test_that_is_there() {
    let texts: Vec<String> = ["src", "tests", "crates"].iter().flat_map(|f| sources(f)).map(|(_, text)| text).collect();
    let table: BTreeMap<&str, &str> = SHOWN_BY.iter().copied().collect();
    assert_eq!(table.len(), SHOWN_BY.len(), "a key stands twice");
    let missing: Vec<_> = schema_keys().into_iter().filter(|key| !table.contains_key(key.as_str())).collect();
    assert!(missing.is_empty(), "no test shows that these keys act: {missing:?}");
    let known = schema_keys();
    let gone: Vec<_> = table.keys().filter(|key| !known.contains(**key)).collect();
    assert!(gone.is_empty(), "the schema has no such keys: {gone:?}");
    let named: BTreeSet<&str> = table.values().copied().collect();
    let absent: Vec<_> =
        named.into_iter().filter(|name| !texts.iter().any(|text| text.contains(&format!("fn {name}(")))).collect();
    assert!(absent.is_empty(), "there are no such tests: {absent:?}");
}

#[test]
fn the_example_resolves_to_the_last_price() {
    let env = |name: &str| match name {
        "WEIR_LOG" => None,
        "DATABASE_URL" => Some("sqlite://x.db".to_owned()),
        "ALERT_WEBHOOK_SECRET" => Some("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".to_owned()),
        "WEIR_RECEIPT_KEY" => Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
        _ => Some("value".to_owned()),
    };
    let source = ConfigSource::Text { name: "example.yaml".into(), text: EXAMPLE.into(), format: Format::Yaml };
    let config = Config::load(&source, &env, &weir::cli::known()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    Snapshot::build(&config, &env, 0).unwrap();
}

#[test]
fn every_quirk_and_usage_rule_has_its_case() {
    let of = |file: &str| std::fs::read_to_string(root().join("tests/it").join(file)).unwrap();
    let (quirks, rules) = (of("fidelity.rs"), of("config_keys.rs"));
    let known = weir::cli::known();
    let lacking = |words: &[&str], text: &str, before: &str| -> Vec<String> {
        let cases = words.iter().map(|word| format!("{before}{word}"));
        cases.filter(|case| !text.contains(case)).collect()
    };
    assert_eq!(lacking(known.quirks, &quirks, ""), Vec::<String>::new());
    assert_eq!(lacking(known.usage, &rules, "(\""), Vec::<String>::new());
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

async fn ask(gateway: &Gateway, key: &str, model: &str) -> Reply {
    gateway.post(key, "/v1/chat/completions", chat(model)).await
}

async fn answering() -> Upstream {
    Upstream::scripted(vec![Script::json(ANSWER)]).await
}

/// A gateway whose provider `up` has these settings besides, and a key.
async fn with(url: &str, settings: &str) -> (Gateway, String) {
    let yaml = one_provider(url).replace("api_key:", &format!("{settings}, api_key:"));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    (gateway, key)
}

#[expect(clippy::disallowed_methods, reason = "the runtime of the test ends its tasks")]
pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    tokio::spawn(task);
}

#[tokio::test]
async fn the_configured_admin_key_is_the_one() {
    let gateway = Setup::new("auth: { admin_key: of-the-file }\n").start().await;
    assert_eq!(gateway.get("of-the-file", "/admin/v1/keys").await.status, StatusCode::OK);
    assert_eq!(gateway.get(ADMIN, "/admin/v1/keys").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_database_gets_so_many_connections_and_no_more() {
    let db = Database::postgres().await;
    let yaml = "database: { url: \"${URL}\", max_connections: 3 }\n";
    let gateway = Setup::new(yaml).env("URL", &db.url).start().await;
    gateway.plain_key().await;
    let mut other = PgConnection::connect(&db.url).await.unwrap();
    let mut watcher = PgConnection::connect(&db.url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE virtual_keys, counters IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let many = join_all((0..10).map(|_| gateway.get(ADMIN, "/admin/v1/keys")));
    let watch = async {
        eventually("the connections being used up", async || {
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut watcher)
            .await
            .unwrap();
            (count == 3).then_some(())
        })
        .await;
        let all = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        let count: i64 = sqlx::query_scalar(all).fetch_one(&mut watcher).await.unwrap();
        lock.rollback().await.unwrap();
        count
    };
    let (replies, count) = tokio::join!(many, watch);
    assert_eq!(count, 3 + 2, "the gateway's and the two of this test");
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "they waited");
}

#[tokio::test]
async fn an_included_file_counts_and_the_including_one_wins() {
    let folder = TempDir::new().unwrap();
    let base = folder.path().join("base.yaml");
    std::fs::write(&base, "models: { from-base: demo/chat, both: demo/chat }\n").unwrap();
    let yaml = format!("include: [\"{}\"]\nmodels: {{ both: demo/embed }}\n", base.display());
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let reply = ask(&gateway, &key, "from-base").await;
    assert_eq!((reply.status, reply.header("x-weir-model")), (StatusCode::OK, Some("chat")));
    let reply = gateway.post(&key, "/v1/embeddings", json!({"model": "both", "input": "x"})).await;
    assert_eq!((reply.status, reply.header("x-weir-model")), (StatusCode::OK, Some("embed")));
}

#[tokio::test]
async fn a_declared_key_has_rights_limits_and_an_end() {
    let clock = Clock::mock(EPOCH);
    let yaml = "keys:\n  - { name: a, key: key-a, models: [\"demo/emb*\"] }\n  \
                - { name: b, key: key-b, limits: { tpm: 100 } }\n  \
                - { name: c, key: key-c, limits: { concurrency: 1 } }\n  \
                - { name: d, key: key-d, expires_at: \"2026-11-18T11:06:50Z\" }\n";
    let gateway = Setup::new(yaml).clock(clock.clone()).start().await;
    let reply = ask(&gateway, "key-a", "demo/chat").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::FORBIDDEN, "model_not_allowed"));
    let mut long = chat("demo/chat");
    long["messages"][0]["content"] = json!("word ".repeat(300));
    assert_eq!(gateway.post("key-b", "/v1/chat/completions", &long).await.status, StatusCode::OK, "from a full bucket");
    let reply = gateway.post("key-b", "/v1/chat/completions", long).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
    let slow = json!({"model": "demo/chat", "stream": true, "messages": [{"role": "user", "content": "a b c d e f"}]});
    let headers = [("x-api-key", "key-c"), ("x-weir-fault", "chunk_delay=500ms")];
    let open = gateway.send(Method::POST, "/v1/chat/completions", &headers, slow.to_string()).await;
    assert_eq!(open.status(), StatusCode::OK);
    assert_eq!(ask(&gateway, "key-c", "demo/chat").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask(&gateway, "key-d", "demo/chat").await.status, StatusCode::OK);
    clock.advance(Duration::from_secs(10));
    let reply = ask(&gateway, "key-d", "demo/chat").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::UNAUTHORIZED, "invalid_api_key"));
}

#[tokio::test]
async fn retries_are_as_many_and_as_far_apart_as_configured() {
    let up = Upstream::scripted(vec![Script::status(503, "{}")]).await;
    let yaml = format!(
        "providers: {{ up: {{ kind: openai-compatible, base_url: \"{}\", api_key: k, health: {{ failures: 0 }} }} }}\n\
         models: {{ m: {{ targets: [{{ provider: up, model: x }}], retries: {{ attempts: 8, backoff: 1ms }} }} }}\n",
        up.url()
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let started = gateway.clock.mono_ns();
    assert_eq!(ask(&gateway, &key, "m").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(up.seen().len(), 8, "the first try is one of them");
    // With the default of 200 ms seven pauses take thirteen seconds, give or take.
    let took = Duration::from_nanos(gateway.clock.mono_ns() - started);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_route_renames_the_model() {
    let up = answering().await;
    let yaml = format!("{}models: {{ fast: up/its-own-name }}\n", one_provider(&up.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    assert_eq!(ask(&gateway, &key, "fast").await.status, StatusCode::OK);
    assert_eq!(up.only().json()["model"], "its-own-name");
}

/// A component, a price, and a usage that costs a thousandth of a dollar at it when everything else
/// is free.
fn billed() -> Vec<(&'static str, &'static str, Value)> {
    let prompt =
        |details: Value| json!({"prompt_tokens": 1000, "completion_tokens": 0, "prompt_tokens_details": details});
    let output =
        |details: Value| json!({"prompt_tokens": 0, "completion_tokens": 1000, "completion_tokens_details": details});
    let write =
        |lifetime: &str| json!({"prompt_tokens": 1000, "completion_tokens": 0, "cache_creation": {lifetime: 1000}});
    let sound = json!({"type": "duration", "seconds": 10});
    vec![
        ("input", "1", prompt(json!({}))),
        ("output", "1", output(json!({}))),
        ("cache_read", "1", prompt(json!({"cached_tokens": 1000}))),
        ("cache_write_default", "1", prompt(json!({"cache_write_tokens": 1000}))),
        ("cache_write_5m", "1", write("ephemeral_5m_input_tokens")),
        ("cache_write_30m", "1", write("ttl_30m_tokens")),
        ("cache_write_1h", "1", write("ephemeral_1h_input_tokens")),
        ("cache_write_12h", "1", write("ttl_12h_tokens")),
        ("reasoning", "1", output(json!({"reasoning_tokens": 1000}))),
        ("audio_input", "1", prompt(json!({"audio_tokens": 1000}))),
        ("audio_output", "1", output(json!({"audio_tokens": 1000}))),
        ("image_input", "1", prompt(json!({"image_tokens": 1000}))),
        ("image_output", "1", output(json!({"image_tokens": 1000}))),
        ("char_input", "1", json!({"characters": 1000})),
        ("per_request", "0.001", prompt(json!({}))),
        ("per_image", "0.0005", json!(null)),
        ("per_second", "0.0001", sound.clone()),
        ("per_minute", "0.006", sound.clone()),
        ("per_hour", "0.36", sound),
        ("per_search", "0.001", json!({"search_units": 1})),
        ("per_web_search", "0.0005", json!({"prompt_tokens": 1, "server_tool_use": {"web_search_requests": 2}})),
    ]
}

#[tokio::test]
async fn every_price_component_is_billed() {
    let cases = billed();
    let names: BTreeSet<&str> = cases.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, weir::config::PRICE_COMPONENTS.iter().copied().collect(), "every component has its case");
    let usages: BTreeMap<String, Value> =
        cases.iter().map(|(name, _, usage)| ((*name).to_owned(), usage.clone())).collect();
    let up = Upstream::start(move |seen| {
        let body = seen.json();
        let usage = usages[body["model"].as_str().unwrap()].clone();
        let answer = json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [], "usage": usage});
        let images = json!({"created": 1, "data": [{"b64_json": ""}, {"b64_json": ""}]});
        Script::json(if usage.is_null() { images } else { answer }.to_string())
    })
    .await;
    let mut yaml = format!("providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\" }}\nprices:\n", up.url());
    for (name, price, _) in &cases {
        let free: String = ["input", "output"].iter().filter(|n| *n != name).map(|n| format!("{n}: \"0\", ")).collect();
        // Characters, sound and images are billed where tokens have no price.
        let free = if matches!(*name, "char_input" | "per_image" | "per_second" | "per_minute" | "per_hour") {
            ""
        } else {
            &free
        };
        yaml += &format!("  up/{name}: {{ {free}{name}: \"{price}\" }}\n");
    }
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    for (name, ..) in &cases {
        let model = format!("up/{name}");
        let reply = if *name == "per_image" {
            gateway.post(&key, "/v1/images/generations", json!({"model": model, "prompt": "x", "n": 2})).await
        } else {
            ask(&gateway, &key, &model).await
        };
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        let row = gateway.rows().await.pop().unwrap();
        assert_eq!((&row["model"], &row["cost_usd"]), (&json!(model), &json!("0.001000000")), "{row:#}");
    }
}

#[tokio::test]
async fn a_strict_route_refuses_what_a_lenient_one_warns_of() {
    let up = answering().await;
    let route = |strict| format!("{{ targets: [{{ provider: up, model: m }}], strict: {strict} }}");
    let models = format!("models:\n  lenient: {}\n  strict: {}\n  unsaid: up/m\n", route(false), route(true));
    let yaml = one_provider(&up.url()).replace("api_key:", "unsupported: [seed], api_key:");
    let gateway = Setup::new(format!("{yaml}{models}")).start().await;
    let key = gateway.plain_key().await;
    for (model, seed, expected) in [
        ("lenient", true, StatusCode::OK),
        ("unsaid", true, StatusCode::OK),
        ("strict", true, StatusCode::BAD_REQUEST),
        ("strict", false, StatusCode::OK),
    ] {
        let before = up.seen().len();
        let mut body = chat(model);
        if seed {
            body["seed"] = json!(7);
        }
        let reply = gateway.post(&key, "/v1/chat/completions", body).await;
        assert_eq!(reply.status, expected, "{model}: {}", reply.text());
        let warned = reply.header("x-weir-warnings").is_some_and(|warning| warning.contains("seed"));
        assert_eq!(warned, seed && expected == StatusCode::OK, "{model}");
        assert_eq!(up.seen().len() > before, expected == StatusCode::OK, "{model}: nobody is asked what is refused");
        if expected == StatusCode::BAD_REQUEST {
            assert_eq!(reply.code(), "unsupported_parameter");
            assert!(reply.text().contains("seed"), "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_not_enabled_is_not_there() {
    let up = answering().await;
    let (gateway, key) = with(&up.url(), "enabled: false").await;
    let reply = ask(&gateway, &key, "up/m").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::NOT_FOUND, "model_not_found"));
    assert!(up.seen().is_empty());
}

#[tokio::test]
async fn faults_are_made_where_they_are_allowed() {
    for (settings, expected) in [("forbidden", StatusCode::FORBIDDEN), ("allowed", StatusCode::SERVICE_UNAVAILABLE)] {
        let gateway = Setup::new(format!("providers: {{ demo: {{ faults: {settings} }} }}\n")).start().await;
        let key = gateway.plain_key().await;
        let headers = [("x-api-key", key.as_str()), ("x-weir-fault", "status=503")];
        let body = chat("demo/chat").to_string();
        let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body).await;
        assert_eq!(reply.status, expected, "{settings}");
        assert_eq!(reply.header("x-weir-warnings").is_some(), settings == "allowed");
    }
}

#[tokio::test]
async fn the_kind_says_what_is_known_of_a_provider() {
    let up = answering().await;
    let yaml = format!("providers:\n  mine: {{ kind: openai, base_url: \"{}\", api_key: s }}\n", up.url());
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    ask(&gateway, &key, "mine/gpt-4o-mini").await;
    let row = gateway.only_row().await;
    // One token at $0.15 and one at $0.60, each per million.
    assert_eq!((&row["provider"], &row["cost_usd"]), (&json!("mine"), &json!("0.000000750")));
}

#[tokio::test]
async fn paths_of_operations_are_configured() {
    let up = answering().await;
    let (gateway, key) = with(&up.url(), "paths: { chat: /talk, completions: /write, embeddings: /embed }").await;
    ask(&gateway, &key, "up/m").await;
    gateway.post(&key, "/v1/completions", json!({"model": "up/m", "prompt": "x"})).await;
    gateway.post(&key, "/v1/embeddings", json!({"model": "up/m", "input": "x"})).await;
    let paths: Vec<_> = up.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/v1/talk", "/v1/write", "/v1/embed"]);
}

#[tokio::test]
async fn every_usage_rule_acts() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "citation_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}});
    let answer = json!({"id": "c", "object": "chat.completion", "choices": [], "usage": usage,
        "x_groq": {"usage": {"prompt_tokens": 70, "completion_tokens": 7}}});
    for (rule, expected) in [
        ("reasoning_outside_output: false", [10, 5]),
        ("reasoning_outside_output: true", [10, 7]),
        ("citations_outside_output: true", [10, 8]),
        ("cache_outside_input: true", [14, 5]),
        ("usage_in: [x_groq.usage, usage]", [70, 7]),
    ] {
        let up = Upstream::scripted(vec![Script::json(answer.to_string())]).await;
        let (gateway, key) = with(&up.url(), &format!("usage: {{ {rule} }}")).await;
        ask(&gateway, &key, "up/m").await;
        let row = gateway.only_row().await;
        assert_eq!([&row["input_tokens"], &row["output_tokens"]], [&json!(expected[0]), &json!(expected[1])], "{rule}");
    }
    let unfinished = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    for (rule, expected) in [("no_done: true", "ok"), ("no_done: false", "upstream_error")] {
        let up = Upstream::scripted(vec![Script::sse(&[unfinished])]).await;
        let (gateway, key) = with(&up.url(), &format!("usage: {{ {rule} }}")).await;
        let mut body = chat("up/m");
        body["stream"] = json!(true);
        gateway.post(&key, "/v1/chat/completions", body).await;
        assert_eq!(gateway.only_row().await["status"], expected, "{rule}");
    }
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_demanded() {
    for (setting, expected) in [("always", "PRI * HTTP/2.0"), ("never", "POST /v1/chat/"), ("auto", "POST /v1/chat/")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (gateway, key) = with(&url, &format!("pool: {{ http2: {setting} }}")).await;
        let first = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut start = [0; 14];
            stream.read_exact(&mut start).await.unwrap();
            String::from_utf8_lossy(&start).into_owned()
        };
        let call = async {
            ask(&gateway, &key, "up/m").await;
            std::future::pending::<()>().await;
        };
        let start = tokio::select! { start = first => start, () = call => unreachable!("it never ends") };
        assert_eq!(start, expected, "{setting}");
    }
}

/// A way to an upstream that counts connections.
async fn counting(to: SocketAddr) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                // That one of them goes away is how it ends.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, count)
}

#[tokio::test]
async fn idle_connections_are_kept_as_configured() {
    for (most, expected) in [(0, 5), (4, 1)] {
        let up = answering().await;
        let (url, count) = counting(up.addr).await;
        let (gateway, key) = with(&url, &format!("pool: {{ max_idle_per_host: {most} }}")).await;
        for _ in 0..5 {
            assert_eq!(ask(&gateway, &key, "up/m").await.status, StatusCode::OK);
        }
        assert_eq!(count.load(Ordering::SeqCst), expected, "max_idle_per_host: {most}");
    }
}

#[tokio::test]
async fn a_connection_must_stand_in_time() {
    let hole = BlackHole::open().await;
    let settings = "timeouts: { connect: 100ms, first_byte: 20s }";
    let (gateway, key) = with(&hole.url(), settings).await;
    let started = gateway.clock.mono_ns();
    let reply = ask(&gateway, &key, "up/m").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_GATEWAY, "upstream_error"), "{}", reply.text());
    let took = Duration::from_nanos(gateway.clock.mono_ns() - started);
    assert!(took < Duration::from_secs(4), "{took:?}; the default is 5 s for each try");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_given_up() {
    let gateway = Setup::new("server: { header_timeout: 100ms }\n").start().await;
    let cut = gateway.raw(b"GET /health HTTP/1.1\r\nhost: x\r\n");
    tokio::time::timeout(Duration::from_secs(5), cut).await.expect("the default is 10 s");
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let gateway = Setup::new("server: { body_idle_timeout: 100ms }\n").start().await;
    let key = gateway.plain_key().await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\n");
    let request = format!("{head}content-length: 100\r\n\r\n{{\"model\":");
    let cut = gateway.raw(request.as_bytes());
    let text = tokio::time::timeout(Duration::from_secs(15), cut).await.expect("the default is 30 s");
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("server.body_idle_timeout"), "{text}");
}

#[tokio::test]
async fn beyond_max_connections_a_client_waits() {
    let gateway = Setup::new("server: { max_connections: 1 }\n").start().await;
    let open = async || {
        let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream
    };
    let mut byte = [0; 1];
    let mut first = open().await;
    first.read_exact(&mut byte).await.unwrap();
    let mut second = open().await;
    let early = tokio::time::timeout(Duration::from_millis(300), second.read_exact(&mut byte)).await;
    assert!(early.is_err(), "the only place is taken");
    drop(first);
    second.read_exact(&mut byte).await.unwrap();
}
