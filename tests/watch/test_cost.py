import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.errors import UsageError
from touchline.watch.cost import LONGEST_GAP, CostMeter, total
from touchline.watch.prices import Prices
from touchline.watch.snapshot import Snapshot

L4 = ("NVIDIA L4",)
UNKNOWN = ("Quadro RTX 8000",)
LOST = "GPU is lost (NVIDIA L4)"


def steady(seconds, absent=None, start=1000.0, **figures):
    """One snapshot a second of figures that stay; energy counts up from the power."""
    values = {f"gpu/{name.replace('__', '/')}": value for name, value in figures.items()}
    return [Snapshot(start + second, values, absent or {}) for second in range(seconds + 1)]


def watched(meter, snapshots):
    return [sentence for snapshot in snapshots if (sentence := meter.observe(snapshot)) is not None]


def test_an_hour_of_an_l4_costs_its_price_and_what_idles_of_it_is_wasted():
    meter = CostMeter(device_names=L4)
    watched(meter, steady(3600, utilization_percent=60.0, power_watts=70.0))
    assert meter.metrics() == pytest.approx({"cost/usd": 0.80, "cost/usd_wasted": 0.32, "cost/energy_wh": 70.0})
    assert meter.absent == {}


def test_spot_costs_less():
    meter = CostMeter(device_names=L4, spot=True)
    watched(meter, steady(3600, utilization_percent=0.0))
    assert meter.metrics()["cost/usd"] == pytest.approx(0.35)
    assert meter.metrics()["cost/usd_wasted"] == pytest.approx(0.35)


def test_several_gpus_add_each_with_its_own_price_and_idle_share():
    meter = CostMeter(device_names=("NVIDIA L4", "Tesla T4"))
    figures = {"0__utilization_percent": 100.0, "1__utilization_percent": 50.0, "utilization_percent": 75.0}
    power = {"0__power_watts": 72.0, "1__power_watts": 28.0, "power_watts": 100.0}
    watched(meter, steady(3600, **figures, **power))
    assert meter.metrics() == pytest.approx({"cost/usd": 1.326, "cost/usd_wasted": 0.263, "cost/energy_wh": 100.0})
    assert meter.usd_per_hour == pytest.approx(1.326)


def test_the_energy_counter_is_believed_before_the_power():
    meter = CostMeter(device_names=L4)
    watched(
        meter, [Snapshot(0.0, {"gpu/energy_wh": 5.0, "gpu/power_watts": 1.0}), Snapshot(36.0, {"gpu/energy_wh": 6.5})]
    )
    assert meter.metrics()["cost/energy_wh"] == 1.5


def test_while_the_energy_counter_is_away_power_stands_in_and_nothing_counts_twice():
    meter = CostMeter(device_names=L4)
    counter = [0.0, 1.0, None, 3.0, 4.0]
    for index, energy in enumerate(counter):
        values = {"gpu/power_watts": 100.0} | ({} if energy is None else {"gpu/energy_wh": energy})
        meter.observe(Snapshot(36.0 * index, values))
    assert meter.metrics()["cost/energy_wh"] == pytest.approx(4.0)


def test_an_energy_counter_that_begins_anew_has_counted_from_zero():
    meter = CostMeter(device_names=L4)
    watched(meter, [Snapshot(float(at), {"gpu/energy_wh": energy}) for at, energy in enumerate([8.0, 9.0, 0.5, 1.0])])
    assert meter.metrics()["cost/energy_wh"] == 2.0


def test_a_lost_gpu_is_paid_for_and_idles():
    meter = CostMeter(device_names=L4)
    watched(meter, steady(3600, absent={"gpu/utilization_percent": LOST}))
    assert meter.metrics() == pytest.approx({"cost/usd": 0.80, "cost/usd_wasted": 0.80})


def test_where_utilisation_is_not_told_nothing_is_called_wasted_and_the_reason_is_passed_on():
    meter = CostMeter(device_names=L4)
    watched(meter, steady(3600, absent={"gpu/utilization_percent": "Not Supported"}, power_watts=70.0))
    assert meter.metrics() == pytest.approx({"cost/usd": 0.80, "cost/energy_wh": 70.0})
    assert meter.absent == {"cost/usd_wasted": "Not Supported"}


def test_a_device_without_a_price_has_its_energy_and_the_remedy():
    meter = CostMeter(device_names=UNKNOWN)
    watched(meter, steady(3600, utilization_percent=60.0, power_watts=70.0))
    assert meter.metrics() == pytest.approx({"cost/energy_wh": 70.0})
    assert set(meter.absent) == {"cost/usd", "cost/usd_wasted"}
    assert "no price on demand of 'Quadro RTX 8000' is known" in meter.absent["cost/usd"]
    assert meter.usd_per_hour is None


def test_the_remedy_that_is_named_works():
    remedy = (
        CostMeter(device_names=UNKNOWN).absent["cost/usd"].partition("WatchConfig(prices=['")[2].partition("'])")[0]
    )
    meter = CostMeter(Prices.parse([remedy.replace("USD_PER_HOUR", "0.21")]), device_names=UNKNOWN)
    assert meter.usd_per_hour == 0.21
    remedy = CostMeter(device_names=UNKNOWN, spot=True).absent["cost/usd"].partition("['")[2].partition("']")[0]
    prices = Prices.parse([remedy.replace("ON_DEMAND/SPOT", "0.21/0.10")])
    assert CostMeter(prices, device_names=UNKNOWN, spot=True).usd_per_hour == 0.10


def test_one_device_without_a_price_leaves_the_sum_untold():
    meter = CostMeter(device_names=("NVIDIA L4", *UNKNOWN))
    watched(meter, steady(10, **{"0__utilization_percent": 50.0, "1__utilization_percent": 50.0}))
    assert meter.metrics() == {}
    assert "Quadro RTX 8000" in meter.absent["cost/usd"]


def test_without_a_gpu_everything_is_absent_with_a_reason():
    meter = CostMeter()
    watched(meter, steady(10, absent={"gpu/power_watts": "no NVIDIA driver on this machine"}))
    assert meter.metrics() == {}
    assert meter.absent["cost/energy_wh"] == "no NVIDIA driver on this machine"
    assert "no device is named" in meter.absent["cost/usd"]


def test_before_the_first_two_samples_a_priced_run_has_cost_nothing():
    meter = CostMeter(device_names=L4)
    meter.observe(Snapshot(5.0, {"gpu/power_watts": 70.0, "gpu/utilization_percent": 50.0}))
    assert meter.metrics() == {"cost/usd": 0.0}
    assert set(meter.absent) == {"cost/usd_wasted", "cost/energy_wh"}


def test_a_silence_is_charged_up_to_a_bound_and_the_energy_counter_bridges_it():
    meter = CostMeter(device_names=L4)
    figures = {"gpu/utilization_percent": 50.0, "gpu/power_watts": 70.0}
    watched(meter, [Snapshot(0.0, figures), Snapshot(7200.0, figures)])
    assert meter.metrics() == pytest.approx(
        {
            "cost/usd": 0.80 * LONGEST_GAP / 3600,
            "cost/usd_wasted": 0.40 * LONGEST_GAP / 3600,
            "cost/energy_wh": 70.0 * LONGEST_GAP / 3600,
        }
    )
    counted = CostMeter(device_names=L4)
    watched(counted, [Snapshot(0.0, {"gpu/energy_wh": 0.0}), Snapshot(7200.0, {"gpu/energy_wh": 140.0})])
    assert counted.metrics()["cost/energy_wh"] == 140.0


def test_a_snapshot_that_is_seen_again_or_late_is_charged_nothing():
    meter = CostMeter(device_names=L4)
    first, second = steady(1, utilization_percent=50.0)
    watched(meter, [first, second, second, first])
    assert meter.metrics()["cost/usd"] == pytest.approx(0.80 / 3600)


def test_a_resumed_run_goes_on_from_what_it_had_cost():
    snapshots = steady(1000, utilization_percent=30.0, power_watts=70.0)
    whole, first = CostMeter(device_names=L4), CostMeter(device_names=L4)
    watched(whole, snapshots)
    watched(first, snapshots[:401])
    second = CostMeter(device_names=L4, before=first.metrics() | {"loss": 3.0})
    watched(second, snapshots[400:])
    assert second.metrics() == pytest.approx(whole.metrics())


def test_a_run_that_is_resumed_where_no_price_is_known_does_not_go_on_telling_the_old_sum():
    before = {"cost/usd": 1.0, "cost/usd_wasted": 0.5, "cost/energy_wh": 70.0}
    assert CostMeter(device_names=UNKNOWN, before=before).metrics() == {"cost/energy_wh": 70.0}


@given(
    figures=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 300)), min_size=2, max_size=8),
    seconds=st.floats(0.1, LONGEST_GAP),
)
def test_waste_never_exceeds_cost_and_nothing_ever_shrinks(figures, seconds):
    meter = CostMeter(device_names=L4)
    last = {}
    for index, (utilization, watts) in enumerate(figures):
        meter.observe(Snapshot(index * seconds, {"gpu/utilization_percent": utilization, "gpu/power_watts": watts}))
        now = meter.metrics()
        assert all(now[name] >= value for name, value in last.items())
        assert now.get("cost/usd_wasted", 0.0) <= now["cost/usd"] * (1 + 1e-9)
        last = now
    assert last["cost/usd"] == pytest.approx(0.80 * seconds * (len(figures) - 1) / 3600)


def test_a_budget_is_told_once_at_80_and_once_at_100_percent():
    meter = CostMeter(device_names=L4, budget_usd=0.80)
    snapshots = steady(4000, utilization_percent=90.0)
    assert watched(meter, snapshots[:2870]) == []
    assert meter.state() == "ok"
    (warned,) = watched(meter, snapshots[2870:3590])
    assert meter.state() == "warned"
    assert warned == "The run has cost 0.64 USD, 80 % of its budget of 0.80 USD. 12 min are left at 0.80 USD an hour."
    (spent,) = watched(meter, snapshots[3590:])
    assert meter.state() == "spent"
    assert "100 % of its budget of 0.80 USD. Stop it, or resume it with a larger budget." in spent


def test_a_run_that_is_resumed_beyond_its_budget_says_so_at_once():
    meter = CostMeter(device_names=L4, budget_usd=5.0, before={"cost/usd": 5.5})
    assert meter.state() == "spent"
    (spent,) = watched(meter, steady(5, utilization_percent=90.0))
    assert "5.50 USD, 110 % of its budget" in spent


def test_a_resumed_run_is_not_warned_again_of_the_same_budget_but_of_a_larger_one():
    first = CostMeter(device_names=L4, budget_usd=0.80)
    assert len(watched(first, steady(3000, utilization_percent=90.0))) == 1
    state = json.loads(json.dumps(first.state_dict()))
    assert state == first.metrics() | {"budget/warned": 0.80}
    same = CostMeter(device_names=L4, budget_usd=0.80, before=state)
    assert watched(same, steady(100, utilization_percent=90.0)) == []
    assert same.state() == "warned"
    larger = CostMeter(device_names=L4, budget_usd=0.82, before=state)
    (warned,) = watched(larger, steady(100, utilization_percent=90.0))
    assert "of its budget of 0.82 USD" in warned


def test_a_budget_of_a_device_without_a_price_guards_nothing_and_says_so_once():
    meter = CostMeter(device_names=UNKNOWN, budget_usd=5.0)
    (sentence,) = watched(meter, steady(100, utilization_percent=90.0))
    assert sentence.startswith("The budget of 5.00 USD guards nothing: no price on demand of 'Quadro RTX 8000'")
    assert meter.state() == "ok"


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(UsageError, match="above 0 USD"):
        CostMeter(device_names=L4, budget_usd=budget)


def test_the_runs_of_a_pipeline_sum_to_what_is_known():
    pretrain = {"cost/usd": 1.0, "cost/usd_wasted": 0.25, "cost/energy_wh": 70.0, "episode/return": 3.0}
    assert total([pretrain, {"cost/energy_wh": 5.0}, {}]) == {
        "cost/usd": 1.0,
        "cost/usd_wasted": 0.25,
        "cost/energy_wh": 75.0,
    }
    assert total([]) == {}
