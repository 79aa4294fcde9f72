"""What the three clouds of Databricks call a spot machine, and which of their machines have an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from touchline.errors import unknown

CloudName = Literal["gcp", "aws", "azure"]


@dataclass(frozen=True)
class Cloud:
    """One cloud's words in Databricks' interfaces."""

    name: str
    """For people."""
    attributes: str
    """Field of a cluster, and of a pool, with what is only this cloud's."""
    spot: str
    """Availability of a cluster that takes spot machines, and others where there are none."""
    on_demand: str
    """Availability of a cluster that takes machines nobody takes back."""
    pool_availability: str
    """Field of a pool's attributes that has its availability."""
    pool_spot: str
    """Its value for spot machines."""
    pool_falls_back: bool
    """Whether a pool, too, takes other machines where there are no spot ones. Elsewhere it would wait for them."""
    node_type: str
    """The machine that is taken where nobody names one: one GPU of 22 to 24 GB."""
    gpu_machines: tuple[str, ...]
    """The node types that Databricks has with an NVIDIA GPU."""

    def must_have_gpu(self, node_type: str) -> None:
        """Raise UsageError with the nearest name where the node type is none with a GPU."""
        if node_type not in self.gpu_machines:
            raise unknown(f"node type with a GPU on {self.name}", node_type, self.gpu_machines)


_GCP = (
    *(f"g2-standard-{cores}" for cores in (4, 8, 12, 16, 24, 32, 48, 96)),
    *(f"{family}-{gpus}g" for family in ("a2-highgpu", "a2-ultragpu", "a3-highgpu") for gpus in (1, 2, 4, 8)),
    "a2-megagpu-16g",
)
_AWS = (
    *(f"{family}.{size}xlarge" for family in ("g4dn", "g5", "g6", "g6e") for size in ("", 2, 4, 8, 12, 16)),
    *(f"{family}.{size}xlarge" for family in ("g5", "g6", "g6e") for size in (24, 48)),
    *("p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge"),
)
_AZURE = (
    *(f"Standard_NC{cores}as_T4_v3" for cores in (4, 8, 16, 64)),
    *(f"Standard_NC{cores}ads_A100_v4" for cores in (24, 48, 96)),
    *("Standard_NC40ads_H100_v5", "Standard_NC80adis_H100_v5"),
    *("Standard_NV36ads_A10_v5", "Standard_NV72ads_A10_v5"),
    *("Standard_ND96asr_v4", "Standard_ND96amsr_A100_v4", "Standard_ND96isr_H100_v5"),
)
CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {
        "gcp": Cloud(
            name="GCP",
            attributes="gcp_attributes",
            spot="PREEMPTIBLE_WITH_FALLBACK_GCP",
            on_demand="ON_DEMAND_GCP",
            pool_availability="gcp_availability",
            pool_spot="PREEMPTIBLE_WITH_FALLBACK_GCP",
            pool_falls_back=True,
            node_type="g2-standard-12",
            gpu_machines=_GCP,
        ),
        "aws": Cloud(
            name="AWS",
            attributes="aws_attributes",
            spot="SPOT_WITH_FALLBACK",
            on_demand="ON_DEMAND",
            pool_availability="availability",
            pool_spot="SPOT",
            pool_falls_back=False,
            node_type="g6.4xlarge",
            gpu_machines=_AWS,
        ),
        "azure": Cloud(
            name="Azure",
            attributes="azure_attributes",
            spot="SPOT_WITH_FALLBACK_AZURE",
            on_demand="ON_DEMAND_AZURE",
            pool_availability="availability",
            pool_spot="SPOT_AZURE",
            pool_falls_back=False,
            node_type="Standard_NV36ads_A10_v5",
            gpu_machines=_AZURE,
        ),
    }
)
