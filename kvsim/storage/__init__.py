"""How remote chunks move: LMCache's storage clients and the servers they share."""

from kvsim.storage.client import Record, StorageClient
from kvsim.storage.file_client import FileClient
from kvsim.storage.make import make_client, make_server
from kvsim.storage.object_client import ObjectClient

__all__ = [
    "FileClient",
    "ObjectClient",
    "Record",
    "StorageClient",
    "make_client",
    "make_server",
]
