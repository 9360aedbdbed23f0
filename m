# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 0
# HELP process_max_fds Maximum number of open file descriptors.
# TYPE process_max_fds gauge
process_max_fds 20000
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 22
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 61440000
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1795597800
# HELP process_threads Number of OS threads in the process.
# TYPE process_threads gauge
process_threads 9
# HELP process_virtual_memory_bytes Virtual memory size in bytes.
# TYPE process_virtual_memory_bytes gauge
process_virtual_memory_bytes 637218816
# HELP roadstead_archive_bytes_total Bytes written to the archive
# TYPE roadstead_archive_bytes_total counter
roadstead_archive_bytes_total 0
# HELP roadstead_archive_failures_total Times that the archive could not be written and was tried again
# TYPE roadstead_archive_failures_total counter
roadstead_archive_failures_total 0
# HELP roadstead_archive_lag_seconds Age of the oldest entry that is not archived
# TYPE roadstead_archive_lag_seconds gauge
roadstead_archive_lag_seconds 0
# HELP roadstead_archive_position Log position up to which the archive is whole
# TYPE roadstead_archive_position gauge
roadstead_archive_position 0
# HELP roadstead_archive_segments_total Segments of the log written to the store
# TYPE roadstead_archive_segments_total counter
roadstead_archive_segments_total 0
# HELP roadstead_archive_snapshots_total Snapshots written to the archive
# TYPE roadstead_archive_snapshots_total counter
roadstead_archive_snapshots_total 0
# HELP roadstead_build_info The version that runs; always 1
# TYPE roadstead_build_info gauge
roadstead_build_info{version="0.1.0"} 1
# HELP roadstead_connections Connections being served
# TYPE roadstead_connections gauge
roadstead_connections 1
# HELP roadstead_connections_accepted_total Connections accepted
# TYPE roadstead_connections_accepted_total counter
roadstead_connections_accepted_total 3
# HELP roadstead_index_applied_position Log position of the last applied entry
# TYPE roadstead_index_applied_position gauge
roadstead_index_applied_position 3
# HELP roadstead_index_apply_entries Entries applied to the state as one batch
# TYPE roadstead_index_apply_entries histogram
roadstead_index_apply_entries_bucket{le="1"} 2
roadstead_index_apply_entries_bucket{le="2"} 3
roadstead_index_apply_entries_bucket{le="4"} 3
roadstead_index_apply_entries_bucket{le="8"} 3
roadstead_index_apply_entries_bucket{le="16"} 3
roadstead_index_apply_entries_bucket{le="32"} 3
roadstead_index_apply_entries_bucket{le="64"} 3
roadstead_index_apply_entries_bucket{le="128"} 3
roadstead_index_apply_entries_bucket{le="256"} 3
roadstead_index_apply_entries_bucket{le="512"} 3
roadstead_index_apply_entries_bucket{le="+Inf"} 3
roadstead_index_apply_entries_sum 4
roadstead_index_apply_entries_count 3
# HELP roadstead_index_batch_entries Entries made durable by one fsync
# TYPE roadstead_index_batch_entries histogram
roadstead_index_batch_entries_bucket{le="1"} 4
roadstead_index_batch_entries_bucket{le="2"} 4
roadstead_index_batch_entries_bucket{le="4"} 4
roadstead_index_batch_entries_bucket{le="8"} 4
roadstead_index_batch_entries_bucket{le="16"} 4
roadstead_index_batch_entries_bucket{le="32"} 4
roadstead_index_batch_entries_bucket{le="64"} 4
roadstead_index_batch_entries_bucket{le="128"} 4
roadstead_index_batch_entries_bucket{le="256"} 4
roadstead_index_batch_entries_bucket{le="512"} 4
roadstead_index_batch_entries_bucket{le="1024"} 4
roadstead_index_batch_entries_bucket{le="2048"} 4
roadstead_index_batch_entries_bucket{le="+Inf"} 4
roadstead_index_batch_entries_sum 4
roadstead_index_batch_entries_count 4
# HELP roadstead_index_command_seconds Time from proposing a command to its reply
# TYPE roadstead_index_command_seconds histogram
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0001"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0002"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0004"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0008"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0016"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0032"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0064"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0128"} 0
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0256"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.0512"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.1024"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.2048"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.4096"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="0.8192"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="1.6384"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="3.2768"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="6.5536"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="13.1072"} 1
roadstead_index_command_seconds_bucket{command="bootstrap",le="+Inf"} 1
roadstead_index_command_seconds_sum{command="bootstrap"} 0.01481094
roadstead_index_command_seconds_count{command="bootstrap"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.0001"} 0
roadstead_index_command_seconds_bucket{command="close_day",le="0.0002"} 0
roadstead_index_command_seconds_bucket{command="close_day",le="0.0004"} 0
roadstead_index_command_seconds_bucket{command="close_day",le="0.0008"} 0
roadstead_index_command_seconds_bucket{command="close_day",le="0.0016"} 0
roadstead_index_command_seconds_bucket{command="close_day",le="0.0032"} 0
roadstead_index_command_seconds_bucket{command="close_day",le="0.0064"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.0128"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.0256"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.0512"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.1024"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.2048"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.4096"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="0.8192"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="1.6384"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="3.2768"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="6.5536"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="13.1072"} 1
roadstead_index_command_seconds_bucket{command="close_day",le="+Inf"} 1
roadstead_index_command_seconds_sum{command="close_day"} 0.004122611
roadstead_index_command_seconds_count{command="close_day"} 1
# HELP roadstead_index_commands_total Commands answered by the index
# TYPE roadstead_index_commands_total counter
roadstead_index_commands_total{command="bootstrap",outcome="done"} 1
roadstead_index_commands_total{command="close_day",outcome="done"} 1
# HELP roadstead_index_entries_appended_total Entries written to the log
# TYPE roadstead_index_entries_appended_total counter
roadstead_index_entries_appended_total 4
# HELP roadstead_index_entries_applied_total Entries applied to the state
# TYPE roadstead_index_entries_applied_total counter
roadstead_index_entries_applied_total 4
# HELP roadstead_index_fsync_seconds Time of one fsync of the log
# TYPE roadstead_index_fsync_seconds histogram
roadstead_index_fsync_seconds_bucket{le="0.00005"} 0
roadstead_index_fsync_seconds_bucket{le="0.0001"} 0
roadstead_index_fsync_seconds_bucket{le="0.0002"} 0
roadstead_index_fsync_seconds_bucket{le="0.0004"} 1
roadstead_index_fsync_seconds_bucket{le="0.0008"} 4
roadstead_index_fsync_seconds_bucket{le="0.0016"} 4
roadstead_index_fsync_seconds_bucket{le="0.0032"} 5
roadstead_index_fsync_seconds_bucket{le="0.0064"} 6
roadstead_index_fsync_seconds_bucket{le="0.0128"} 6
roadstead_index_fsync_seconds_bucket{le="0.0256"} 6
roadstead_index_fsync_seconds_bucket{le="0.0512"} 6
roadstead_index_fsync_seconds_bucket{le="0.1024"} 6
roadstead_index_fsync_seconds_bucket{le="0.2048"} 6
roadstead_index_fsync_seconds_bucket{le="0.4096"} 6
roadstead_index_fsync_seconds_bucket{le="0.8192"} 6
roadstead_index_fsync_seconds_bucket{le="1.6384"} 6
roadstead_index_fsync_seconds_bucket{le="3.2768"} 6
roadstead_index_fsync_seconds_bucket{le="6.5536"} 6
roadstead_index_fsync_seconds_bucket{le="+Inf"} 6
roadstead_index_fsync_seconds_sum 0.010199765
roadstead_index_fsync_seconds_count 6
# HELP roadstead_index_log_bytes Bytes of the log on disk
# TYPE roadstead_index_log_bytes gauge
roadstead_index_log_bytes 67108864
# HELP roadstead_index_read_rounds_total Rounds that made reads linearizable
# TYPE roadstead_index_read_rounds_total counter
roadstead_index_read_rounds_total 7
# HELP roadstead_index_reads_total Queries answered
# TYPE roadstead_index_reads_total counter
roadstead_index_reads_total 7
# HELP roadstead_index_state_bytes Bytes of the state on disk
# TYPE roadstead_index_state_bytes gauge
roadstead_index_state_bytes 67108864
# HELP roadstead_panics_total Panics, each a bug; the process goes on
# TYPE roadstead_panics_total counter
roadstead_panics_total 0
# HELP roadstead_received_bytes_total Bytes of request bodies
# TYPE roadstead_received_bytes_total counter
roadstead_received_bytes_total 0
# HELP roadstead_reclaim_aborted_writes_total Unfinished writes removed from the store
# TYPE roadstead_reclaim_aborted_writes_total counter
roadstead_reclaim_aborted_writes_total 0
# HELP roadstead_reclaim_condemned_objects Condemned objects that wait to be deleted
# TYPE roadstead_reclaim_condemned_objects gauge
roadstead_reclaim_condemned_objects 0
# HELP roadstead_reclaim_damaged_blobs_total Blobs found damaged or missing by scrubbing
# TYPE roadstead_reclaim_damaged_blobs_total counter
roadstead_reclaim_damaged_blobs_total 0
# HELP roadstead_reclaim_expired_total Uploads, links, manifests and histories whose time was over
# TYPE roadstead_reclaim_expired_total counter
roadstead_reclaim_expired_total 0
# HELP roadstead_reclaim_failures_total Turns of reclaiming that did not finish
# TYPE roadstead_reclaim_failures_total counter
roadstead_reclaim_failures_total 0
# HELP roadstead_reclaim_joined_blobs_total Blobs of several segments rewritten as one
# TYPE roadstead_reclaim_joined_blobs_total counter
roadstead_reclaim_joined_blobs_total 0
# HELP roadstead_reclaim_objects_total Condemned objects deleted from the store
# TYPE roadstead_reclaim_objects_total counter
roadstead_reclaim_objects_total 0
# HELP roadstead_reclaim_orphans_total Objects deleted that no entry of the index named
# TYPE roadstead_reclaim_orphans_total counter
roadstead_reclaim_orphans_total 0
# HELP roadstead_reclaim_scrubbed_bytes_total Bytes read and checked by scrubbing
# TYPE roadstead_reclaim_scrubbed_bytes_total counter
roadstead_reclaim_scrubbed_bytes_total 0
# HELP roadstead_request_seconds Time until the answer began, by action
# TYPE roadstead_request_seconds histogram
roadstead_request_seconds_bucket{action="check_version",le="0.00025"} 0
roadstead_request_seconds_bucket{action="check_version",le="0.0005"} 0
roadstead_request_seconds_bucket{action="check_version",le="0.001"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.002"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.004"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.008"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.016"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.032"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.064"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.128"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.256"} 1
roadstead_request_seconds_bucket{action="check_version",le="0.512"} 1
roadstead_request_seconds_bucket{action="check_version",le="1.024"} 1
roadstead_request_seconds_bucket{action="check_version",le="2.048"} 1
roadstead_request_seconds_bucket{action="check_version",le="4.096"} 1
roadstead_request_seconds_bucket{action="check_version",le="8.192"} 1
roadstead_request_seconds_bucket{action="check_version",le="16.384"} 1
roadstead_request_seconds_bucket{action="check_version",le="32.768"} 1
roadstead_request_seconds_bucket{action="check_version",le="+Inf"} 1
roadstead_request_seconds_sum{action="check_version"} 0.000860608
roadstead_request_seconds_count{action="check_version"} 1
# HELP roadstead_requests_running Requests that are not answered yet
# TYPE roadstead_requests_running gauge
roadstead_requests_running 0
# HELP roadstead_requests_total Requests answered, by action and status
# TYPE roadstead_requests_total counter
roadstead_requests_total{action="check_version",status="200"} 1
# HELP roadstead_sent_bytes_total Bytes of answers' bodies
# TYPE roadstead_sent_bytes_total counter
roadstead_sent_bytes_total 2
# HELP roadstead_store_call_seconds Time of calls to the object store; of a read, to its first byte
# TYPE roadstead_store_call_seconds histogram
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.0005"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.001"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.002"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.004"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.008"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.016"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.032"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.064"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.128"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.256"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="0.512"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="1.024"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="2.048"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="4.096"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="8.192"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="16.384"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="32.768"} 1
roadstead_store_call_seconds_bucket{operation="abort_stale",le="+Inf"} 1
roadstead_store_call_seconds_sum{operation="abort_stale"} 0.000076133
roadstead_store_call_seconds_count{operation="abort_stale"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.0005"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.001"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.002"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.004"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.008"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.016"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.032"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.064"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.128"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.256"} 1
roadstead_store_call_seconds_bucket{operation="create",le="0.512"} 1
roadstead_store_call_seconds_bucket{operation="create",le="1.024"} 1
roadstead_store_call_seconds_bucket{operation="create",le="2.048"} 1
roadstead_store_call_seconds_bucket{operation="create",le="4.096"} 1
roadstead_store_call_seconds_bucket{operation="create",le="8.192"} 1
roadstead_store_call_seconds_bucket{operation="create",le="16.384"} 1
roadstead_store_call_seconds_bucket{operation="create",le="32.768"} 1
roadstead_store_call_seconds_bucket{operation="create",le="+Inf"} 1
roadstead_store_call_seconds_sum{operation="create"} 0.000116543
roadstead_store_call_seconds_count{operation="create"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.0005"} 0
roadstead_store_call_seconds_bucket{operation="finish",le="0.001"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.002"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.004"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.008"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.016"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.032"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.064"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.128"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.256"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="0.512"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="1.024"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="2.048"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="4.096"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="8.192"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="16.384"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="32.768"} 1
roadstead_store_call_seconds_bucket{operation="finish",le="+Inf"} 1
roadstead_store_call_seconds_sum{operation="finish"} 0.000787669
roadstead_store_call_seconds_count{operation="finish"} 1
roadstead_store_call_seconds_bucket{operation="list",le="0.0005"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.001"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.002"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.004"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.008"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.016"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.032"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.064"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.128"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.256"} 6
roadstead_store_call_seconds_bucket{operation="list",le="0.512"} 6
roadstead_store_call_seconds_bucket{operation="list",le="1.024"} 6
roadstead_store_call_seconds_bucket{operation="list",le="2.048"} 6
roadstead_store_call_seconds_bucket{operation="list",le="4.096"} 6
roadstead_store_call_seconds_bucket{operation="list",le="8.192"} 6
roadstead_store_call_seconds_bucket{operation="list",le="16.384"} 6
roadstead_store_call_seconds_bucket{operation="list",le="32.768"} 6
roadstead_store_call_seconds_bucket{operation="list",le="+Inf"} 6
roadstead_store_call_seconds_sum{operation="list"} 0.00011423
roadstead_store_call_seconds_count{operation="list"} 6
roadstead_store_call_seconds_bucket{operation="read",le="0.0005"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.001"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.002"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.004"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.008"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.016"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.032"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.064"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.128"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.256"} 3
roadstead_store_call_seconds_bucket{operation="read",le="0.512"} 3
roadstead_store_call_seconds_bucket{operation="read",le="1.024"} 3
roadstead_store_call_seconds_bucket{operation="read",le="2.048"} 3
roadstead_store_call_seconds_bucket{operation="read",le="4.096"} 3
roadstead_store_call_seconds_bucket{operation="read",le="8.192"} 3
roadstead_store_call_seconds_bucket{operation="read",le="16.384"} 3
roadstead_store_call_seconds_bucket{operation="read",le="32.768"} 3
roadstead_store_call_seconds_bucket{operation="read",le="+Inf"} 3
roadstead_store_call_seconds_sum{operation="read"} 0.000456378
roadstead_store_call_seconds_count{operation="read"} 3
roadstead_store_call_seconds_bucket{operation="write",le="0.0005"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.001"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.002"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.004"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.008"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.016"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.032"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.064"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.128"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.256"} 1
roadstead_store_call_seconds_bucket{operation="write",le="0.512"} 1
roadstead_store_call_seconds_bucket{operation="write",le="1.024"} 1
roadstead_store_call_seconds_bucket{operation="write",le="2.048"} 1
roadstead_store_call_seconds_bucket{operation="write",le="4.096"} 1
roadstead_store_call_seconds_bucket{operation="write",le="8.192"} 1
roadstead_store_call_seconds_bucket{operation="write",le="16.384"} 1
roadstead_store_call_seconds_bucket{operation="write",le="32.768"} 1
roadstead_store_call_seconds_bucket{operation="write",le="+Inf"} 1
roadstead_store_call_seconds_sum{operation="write"} 0.000058157
roadstead_store_call_seconds_count{operation="write"} 1
# HELP roadstead_store_calls_total Calls to the object store
# TYPE roadstead_store_calls_total counter
roadstead_store_calls_total{operation="abort_stale",result="ok"} 1
roadstead_store_calls_total{operation="create",result="ok"} 1
roadstead_store_calls_total{operation="finish",result="ok"} 1
roadstead_store_calls_total{operation="list",result="ok"} 6
roadstead_store_calls_total{operation="read",result="not_found"} 2
roadstead_store_calls_total{operation="read",result="ok"} 1
roadstead_store_calls_total{operation="write",result="ok"} 1
# HELP roadstead_store_read_bytes_total Bytes read from the object store
# TYPE roadstead_store_read_bytes_total counter
roadstead_store_read_bytes_total 256
# HELP roadstead_store_written_bytes_total Bytes written to the object store
# TYPE roadstead_store_written_bytes_total counter
roadstead_store_written_bytes_total 256
# HELP roadstead_uploads_running Bodies of uploads that are being received
# TYPE roadstead_uploads_running gauge
roadstead_uploads_running 0
