from prometheus_client.registry import REGISTRY as REGISTRY
