//! The registry from outside, over HTTP: modules named by the rules they test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod a_bad_volume_is_made_again;
mod a_cluster_begins_once;
mod a_full_disk_loses_nothing;
mod a_full_disk_of_one_node;
mod a_hanging_disk_gives_way;
mod a_leader_that_restarts_asks_again;
mod a_push_may_die_at_any_step;
mod a_restore_may_die_at_any_step;
mod a_slow_state_is_received_once;
mod a_snapshot_may_die_at_any_step;
mod a_store_in_trouble;
mod a_store_that_lies_is_caught;
mod access;
mod anonymous_access_has_levels;
mod bad_request_lines_are_refused;
mod blobs_are_downloaded;
mod deleting_is_careful;
mod ending_finishes_what_runs;
mod every_store_keeps_its_contract;
mod flipped_bytes_are_never_served;
mod hostile_connections;
mod kept_backups_stay_whole;
mod known_attacks;
mod large_layers_need_little_memory;
mod lists_come_in_pages;
mod manifests_are_checked;
mod nothing_is_left_behind;
mod pull_what_was_pushed;
mod readiness_tells_what_is_wrong;
mod several_nodes_are_one_registry;
mod support;
mod tags_are_conditional;
mod the_bucket_is_safe;
mod the_model_agrees;
mod the_process_obeys;
mod tls_is_served;
mod unusual_requests_are_served;
mod uploads_go_on;
mod versions_go_forward_and_one_step_back;
mod what_is_archived_can_be_restored;
mod what_was_acknowledged_survives;
