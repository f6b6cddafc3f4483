"""How a request is served: scheduling, KV connectors and the engine loop of one vLLM instance."""
