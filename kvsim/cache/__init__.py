"""Where the KV is: bookkeeping without a clock.

`gpu_pool` keeps vLLM's blocks as extents, `block_oracle` keeps the same blocks one by one (the
oracle of the property tests), `chunk_tier` keeps LMCache's chunks in CPU memory, `remote_store`
what all instances share.
"""
