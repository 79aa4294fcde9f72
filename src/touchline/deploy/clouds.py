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
    gpus: Mapping[str, int]
    """GPUs by node type, of the node types that Databricks has with a GPU."""

    def gpus_of(self, node_type: str) -> int:
        """Number of GPUs; raises UsageError with the nearest name where the node type is none with a GPU."""
        if node_type not in self.gpus:
            raise unknown(f"node type with a GPU on {self.name}", node_type, self.gpus)
        return self.gpus[node_type]


_GCP = {
    **{f"g2-standard-{cores}": gpus for cores, gpus in ((4, 1), (8, 1), (12, 1), (16, 1), (32, 1))},
    **{f"g2-standard-{cores}": gpus for cores, gpus in ((24, 2), (48, 4), (96, 8))},
    **{f"a2-highgpu-{gpus}g": gpus for gpus in (1, 2, 4, 8)},
    "a2-megagpu-16g": 16,
    **{f"a2-ultragpu-{gpus}g": gpus for gpus in (1, 2, 4, 8)},
    **{f"a3-highgpu-{gpus}g": gpus for gpus in (1, 2, 4, 8)},
}
_AWS = {
    **{
        f"{family}.{size}": 1
        for family in ("g4dn", "g5", "g6")
        for size in ("xlarge", *(f"{n}xlarge" for n in (2, 4, 8, 16)))
    },
    **{f"{family}.12xlarge": 4 for family in ("g4dn", "g5", "g6")},
    **{f"{family}.24xlarge": 4 for family in ("g5", "g6")},
    **{f"{family}.48xlarge": 8 for family in ("g5", "g6")},
    **{f"g6e.{size}": 1 for size in ("xlarge", *(f"{n}xlarge" for n in (2, 4, 8, 16)))},
    "g6e.12xlarge": 4,
    "g6e.24xlarge": 4,
    "g6e.48xlarge": 8,
    "p4d.24xlarge": 8,
    "p4de.24xlarge": 8,
    "p5.48xlarge": 8,
}
_AZURE = {
    **{f"Standard_NC{cores}as_T4_v3": gpus for cores, gpus in ((4, 1), (8, 1), (16, 1), (64, 4))},
    **{f"Standard_NC{cores}ads_A100_v4": gpus for cores, gpus in ((24, 1), (48, 2), (96, 4))},
    "Standard_NC40ads_H100_v5": 1,
    "Standard_NC80adis_H100_v5": 2,
    "Standard_NV36ads_A10_v5": 1,
    "Standard_NV72ads_A10_v5": 2,
    "Standard_ND96asr_v4": 8,
    "Standard_ND96amsr_A100_v4": 8,
    "Standard_ND96isr_H100_v5": 8,
}
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
            gpus=MappingProxyType(_GCP),
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
            gpus=MappingProxyType(_AWS),
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
            gpus=MappingProxyType(_AZURE),
        ),
    }
)
