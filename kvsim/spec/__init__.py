"""What to simulate: frozen descriptions, no behaviour beyond validation."""

from kvsim.spec.base import Profile, Source, SourceKind, Spec
from kvsim.spec.calibration import CalibrationSpec, Coefficient
from kvsim.spec.changes import apply_changes, parse_assignment
from kvsim.spec.engine import EngineSpec
from kvsim.spec.gpu import GpuEfficiency, GpuSpec
from kvsim.spec.host import (
    UNDISTURBED,
    CopyCost,
    HostSpec,
    LaunchCost,
    PutInterference,
    ScheduleCost,
    TokenCost,
)
from kvsim.spec.load import load_scenario
from kvsim.spec.memory import (
    activation_peak_bytes,
    block_bytes,
    kv_pool_blocks,
    kv_pool_bytes,
    step_limits,
)
from kvsim.spec.model import ModelSpec
from kvsim.spec.offload import ConnectorName, CpuTierSpec, EvictionName, OffloadSpec, RemoteSpec
from kvsim.spec.profiles import (
    PROFILE_KINDS,
    ProfileKind,
    Roots,
    list_profiles,
    load_profile,
    shipped_profiles,
)
from kvsim.spec.routing import RouterName, RoutingSpec
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.spec.storage import (
    FileClient,
    FileStorageSpec,
    FileTransfer,
    ObjectClient,
    ObjectStorageSpec,
    ObjectTransfer,
    StorageSpec,
)
from kvsim.spec.workload import MultiRoundQaSpec

__all__ = [
    "PROFILE_KINDS",
    "UNDISTURBED",
    "CalibrationSpec",
    "Coefficient",
    "ConnectorName",
    "CopyCost",
    "CpuTierSpec",
    "EngineSpec",
    "EvictionName",
    "FileClient",
    "FileStorageSpec",
    "FileTransfer",
    "GpuEfficiency",
    "GpuSpec",
    "HostSpec",
    "LaunchCost",
    "ModelSpec",
    "MultiRoundQaSpec",
    "ObjectClient",
    "ObjectStorageSpec",
    "ObjectTransfer",
    "OffloadSpec",
    "Profile",
    "ProfileKind",
    "PutInterference",
    "RemoteSpec",
    "Roots",
    "RouterName",
    "RoutingSpec",
    "Scenario",
    "ScheduleCost",
    "SloSpec",
    "Source",
    "SourceKind",
    "Spec",
    "StorageSpec",
    "TokenCost",
    "activation_peak_bytes",
    "apply_changes",
    "block_bytes",
    "kv_pool_blocks",
    "kv_pool_bytes",
    "list_profiles",
    "load_profile",
    "load_scenario",
    "parse_assignment",
    "shipped_profiles",
    "step_limits",
]
