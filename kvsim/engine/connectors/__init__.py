"""How KV leaves and enters the GPU: vLLM's connector interface, and LMCache behind it."""
