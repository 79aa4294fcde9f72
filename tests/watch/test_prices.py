import pytest

from touchline.errors import UsageError
from touchline.watch.prices import LIST_PRICES, Price, Prices


@pytest.mark.parametrize(
    ("device", "usd_per_hour"),
    [
        ("NVIDIA L4", 0.80),
        ("NVIDIA L40S", 1.861),
        ("Tesla T4", 0.526),
        ("Tesla V100-SXM2-16GB", 3.06),
        ("NVIDIA A100-SXM4-40GB", 2.74),
        ("NVIDIA A100 80GB PCIe", 3.43),
        ("NVIDIA H100 80GB HBM3", 6.88),
    ],
)
def test_a_device_is_found_by_the_words_of_the_name_that_the_driver_gives(device, usd_per_hour):
    assert Prices().usd_per_hour(device) == usd_per_hour


@pytest.mark.parametrize("device", ["NVIDIA L40", "NVIDIA H100 PCIe", "Tesla V100-SXM2-32GB", "Quadro RTX 8000", ""])
def test_a_device_that_is_only_similar_has_no_price(device):
    assert Prices().usd_per_hour(device) is None


def test_spot_has_a_price_of_its_own_or_none():
    assert Prices().usd_per_hour("NVIDIA L4", spot=True) == 0.35
    assert Prices().usd_per_hour("Tesla T4", spot=True) is None


def test_a_slice_is_not_sold_as_the_whole_device():
    slice_of_a100 = "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert Prices().usd_per_hour(slice_of_a100) is None
    assert Prices.parse(["A100 MIG 1g=0.45"]).usd_per_hour(slice_of_a100) == 0.45
    assert Prices.parse(["A100 MIG 1g=0.45"]).usd_per_hour("NVIDIA A100-SXM4-40GB") == 2.74


def test_your_own_price_replaces_every_list_price_that_it_covers():
    prices = Prices.parse(["A100=2.10/0.95", "Quadro RTX 8000 = 0.21"])
    assert prices.usd_per_hour("NVIDIA A100-SXM4-40GB") == 2.10
    assert prices.usd_per_hour("NVIDIA A100-SXM4-80GB", spot=True) == 0.95
    assert prices.usd_per_hour("Quadro RTX 8000") == 0.21
    assert prices.usd_per_hour("Quadro RTX 8000", spot=True) is None
    assert prices.usd_per_hour("NVIDIA L4") == 0.80


def test_of_two_entries_that_fit_the_more_exact_one_counts():
    prices = Prices({"A100": Price(1.0), "A100 80GB": Price(2.0)})
    assert prices.usd_per_hour("NVIDIA A100-SXM4-80GB") == 2.0
    assert prices.usd_per_hour("NVIDIA A100-SXM4-40GB") == 1.0


def test_without_entries_the_list_prices_stand():
    assert dict(Prices.parse([]).table) == dict(LIST_PRICES)


@pytest.mark.parametrize("entry", ["L4", "L4=", "L4=cheap", "L4=1/2/3", "L4:0.80"])
def test_an_entry_of_another_form_is_refused_with_an_example(entry):
    with pytest.raises(UsageError, match="not like L4=0.80/0.35"):
        Prices.parse([entry])


@pytest.mark.parametrize("entry", ["L4=-1", "L4=nan", "L4=0.80/inf"])
def test_a_price_that_is_none_is_refused(entry):
    with pytest.raises(UsageError, match="USD per hour, 0 or more"):
        Prices.parse([entry])


@pytest.mark.parametrize("entry", ["=0.80", " - =0.80"])
def test_a_price_of_nothing_is_refused(entry):
    with pytest.raises(UsageError, match="has no word"):
        Prices.parse([entry])


def test_one_text_in_the_place_of_several_prices_is_refused_with_what_to_write():
    with pytest.raises(UsageError, match=r"one text. Put it in brackets: \['L4=1/2'\]"):
        Prices.parse("L4=1/2")
