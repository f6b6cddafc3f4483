"""How the KV leaves and enters the GPU: vLLM's connector interface, and LMCache in the worker process."""
