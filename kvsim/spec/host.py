"""Which host feeds the GPU: copies over PCIe, and the Python around each step."""

from kvsim.spec.base import Factor, PositiveCount, PositiveRate, Profile, Seconds, Spec


class CopyCost(Spec):
    """Time of copying chunks between GPU and host memory: fixed + bytes / bandwidth."""

    fixed: Seconds
    """Time of one call, whatever its size (s)."""
    bandwidth: PositiveRate
    """Rate of the copy itself (bytes/s)."""


class TokenCost(Spec):
    """Time of handling a request's text: fixed + tokens · per_token."""

    fixed: Seconds
    """Time of one request, whatever its length (s)."""
    per_token: Seconds
    """Time for each prompt token (s)."""


class ScheduleCost(Spec):
    """Time inside the scheduler."""

    decode: Seconds
    """A step that admits nobody (s)."""
    admit_fixed: Seconds
    """Admitting a request with no connector (s) ..."""
    admit_per_token: Seconds
    """... and for each of its tokens (s)."""
    lookup_fixed: Seconds
    """Admitting a request with LMCache, look-up included: replaces `admit_fixed` (s) ..."""
    lookup_per_token: Seconds
    """... and for each of its tokens: replaces `admit_per_token` (s)."""


class LaunchCost(Spec):
    """Host time to launch a forward pass, hidden as long as the GPU is busy."""

    full_graph: Seconds
    """Pure decode: one CUDA graph (s)."""
    piecewise_graph: Seconds
    """A step with prefill of at most `piecewise_max_tokens` tokens: piecewise graphs (s)."""
    eager: Seconds
    """A larger step: no graph (s)."""
    piecewise_max_tokens: PositiveCount
    """Largest step that has a piecewise graph (tokens)."""
    graph_start: Seconds
    """From the launch of a full graph to its start on an idle GPU (s)."""
    load_prepare: Seconds
    """Preparing the inputs of a step that loads KV, before the load begins (s)."""
    piecewise_graph_after_load: Seconds
    """`piecewise_graph` less what was prepared before a load (s)."""


class PutInterference(Spec):
    """How much slower the host gets while this instance's remote puts are in flight.

    They share Python's lock with the engine and its API server, now and then for long: the factors
    are means.
    """

    launch: Factor
    """Factor on launching an eager forward pass; whole graphs are not slower."""
    piecewise_launch: Factor
    """Factor on preparing a load and launching piecewise graphs."""
    schedule: Factor
    """Factor on admitting a request, checks of the remote tier aside."""
    store_copy: Factor
    """Factor on the copy GPU to CPU."""
    request_in: Factor
    """Factor on taking in a request."""


UNDISTURBED = PutInterference(launch=1, piecewise_launch=1, schedule=1, store_copy=1, request_in=1)
"""No put is in flight."""


class HostSpec(Profile):
    """One host, as one vLLM process sees it."""

    num_cpus: PositiveCount
    """Cores that a vLLM process sees (sets the size of Python's thread pool)."""
    pcie_bandwidth: PositiveRate
    """Nominal PCIe bandwidth one way (bytes/s)."""
    load: CopyCost
    """CPU to GPU, by LMCache's kernel that scatters chunks into pages."""
    store: CopyCost
    """GPU to CPU, through LMCache's staging buffer."""
    request_in: TokenCost
    """HTTP, chat template and tokeniser; serial in the API server."""
    first_token_out: TokenCost
    """From the first token in the engine to the client."""
    end_of_stream: Seconds
    """From the last token in the engine to the end of the client's stream (s)."""
    schedule: ScheduleCost
    """Time inside the scheduler."""
    update: Seconds
    """Processing the output of one step (s)."""
    launch: LaunchCost
    """Host time to launch a forward pass."""
    put_interference: PutInterference
    """How much slower the host gets while remote puts are in flight."""
