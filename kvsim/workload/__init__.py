"""Who asks for what and when: sessions of requests with growing prompts."""
