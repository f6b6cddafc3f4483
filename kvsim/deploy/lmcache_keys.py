"""The keys of LMCache's YAML file, as version 0.5.0 prints them at its start, and what they mean.

A key is read into the scenario, is without effect on what kvsim simulates, or changes something
that kvsim does not model: then its value is named unless it is the default.
"""

from typing import Any, Final

READ: Final = (
    "chunk_size",
    "local_cpu",
    "max_local_cpu_size",
    "save_decode_cache",
    "cache_policy",
    "min_retrieve_tokens",
    "lookup_timeout_ms",
    "blocking_timeout_secs",
    "remote_url",
    "remote_serde",
    "remote_storage_plugins",
    "extra_config",
)

NOT_MODELLED: Final[dict[str, tuple[Any, str]]] = {
    "local_disk": (None, "a disk tier between CPU memory and the shared store"),
    "max_local_disk_size": (0.0, "a disk tier between CPU memory and the shared store"),
    "use_layerwise": (False, "loads and stores layer by layer"),
    "enable_async_loading": (False, "loads beside the running steps"),
    "save_unfull_chunk": (False, "chunks that are not full"),
    "enable_blending": (False, "reuse of text that is no prefix (CacheBlend)"),
    "enable_p2p": (False, "chunks from other instances' memory"),
    "enable_pd": (False, "prefill and decode on different instances"),
    "gds_path": (None, "reads from files straight into GPU memory (GDS)"),
    "maru_path": (None, "shared CXL memory"),
    "enable_controller": (False, "LMCache's controller (see routing: kv_aware)"),
    "external_lookup_client": (None, "another way to look chunks up"),
    "enable_scheduler_bypass_lookup": (False, "another way to look chunks up"),
    "hit_miss_ratio": (None, "hits that are made misses on purpose"),
    "priority_limit": (None, "requests whose KV is not stored"),
    "retrieve_locations": (None, "tiers that are left out of loads"),
    "store_location": (None, "tiers that are left out of stores"),
    "storage_plugins": (None, "storage backends of others"),
    "remote_config_url": (None, "settings from a service"),
    "reserve_local_cpu_size": (0.0, "host memory that the CPU tier leaves free"),
}
"""Key to its default and what another value would change."""

WITHOUT_EFFECT: Final = (
    "local_cpu_use_hugepages",
    "local_disk_path_sharding",
    "pre_caching_hash_algorithm",
    "blend_recompute_ratios",
    "blend_thresholds",
    "blend_check_layers",
    "blend_min_tokens",
    "blend_special_str",
    "p2p_host",
    "p2p_init_ports",
    "p2p_lookup_ports",
    "mp_host",
    "mp_port",
    "lmcache_instance_id",
    "controller_pull_url",
    "controller_reply_url",
    "lmcache_worker_ports",
    "lmcache_worker_ids",
    "lmcache_worker_heartbeat_delay_time",
    "lmcache_worker_heartbeat_time",
    "pd_role",
    "pd_buffer_size",
    "pd_buffer_device",
    "pd_peer_host",
    "pd_peer_init_port",
    "pd_peer_alloc_port",
    "pd_peer_query_port",
    "pd_proxy_host",
    "pd_proxy_port",
    "pd_allocation_timeout_sec",
    "pd_shutdown_timeout_sec",
    "pd_condition_poll_interval_sec",
    "pd_max_prefill_len",
    "pd_backend_mode",
    "pd_skip_proxy_notification",
    "pd_bidirectional",
    "transfer_channel",
    "nixl_backends",
    "nixl_buffer_size",
    "nixl_buffer_device",
    "gds_path_sharding",
    "gds_buffer_size",
    "maru_pool_size",
    "use_gds",
    "gds_backend",
    "audit_actual_remote_url",
    "internal_api_server_host",
    "internal_api_server_enabled",
    "internal_api_server_port_start",
    "internal_api_server_include_index_list",
    "internal_api_server_socket_path_prefix",
    "py_enable_gc",
    "numa_mode",
    "runtime_plugin_locations",
    "lookup_server_worker_ids",
    "script_allowed_imports",
    "enable_lazy_memory_allocator",
    "lazy_memory_initial_ratio",
    "lazy_memory_expand_trigger_ratio",
    "lazy_memory_step_ratio",
    "lazy_memory_safe_size",
    "enable_chunk_statistics",
    "chunk_statistics_auto_start_statistics",
    "chunk_statistics_auto_exit_timeout_hours",
    "chunk_statistics_auto_exit_target_unique_chunks",
    "chunk_statistics_strategy",
    "enable_kv_events",
    "use_gpu_connector_v3",
    "pin_timeout_sec",
    "pin_check_interval_sec",
    "app_id",
)

EXTRA_WITHOUT_EFFECT: Final = (
    "s3_num_io_threads",
    "s3_prefer_http2",
    "s3_region",
    "s3_file_prefix",
    "disable_tls",
    "aws_access_key_id",
    "aws_secret_access_key",
    "fs_connector_relative_tmp_dir",
    "fs_connector_read_ahead_size",
    "use_exists_sync",
)
EXTRA_READ: Final = ("s3_enable_s3express", "save_chunk_meta", "fs_connector_use_odirect")
BASE_PATH: Final = "remote_storage_plugin.fs.base_path"

KNOWN: Final = (*READ, *NOT_MODELLED, *WITHOUT_EFFECT)
KNOWN_EXTRA: Final = (*EXTRA_READ, *EXTRA_WITHOUT_EFFECT, BASE_PATH)

POLICIES: Final = ("lru", "fifo", "lfu", "mru")
"""Eviction policies that LMCache has."""
GIB: Final = 2**30
"""LMCache says GB and means this."""
