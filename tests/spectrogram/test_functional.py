import pytest
import torch

from birdfast.spectrogram.functional import (
    add_background,
    change_gain,
    filter_bands,
    mask_along,
    mix,
    mix_waves,
    sounding,
    union,
)


def test_time_mask_covers_just_the_stripe():
    x = torch.randn(2, 1, 8, 20)
    out = mask_along(x, torch.tensor([[3], [0]]), torch.tensor([[4], [0]]), dim=-1)
    assert (out[0, 0, :, 3:7] == x[0].mean()).all()
    assert torch.equal(out[0, 0, :, :3], x[0, 0, :, :3])
    assert torch.equal(out[0, 0, :, 7:], x[0, 0, :, 7:])
    assert torch.equal(out[1], x[1])


def test_frequency_masks_of_one_item_add_up():
    x = torch.randn(1, 1, 8, 20)
    out = mask_along(x, torch.tensor([[0, 5]]), torch.tensor([[2, 1]]), dim=-2)
    masked = (out[0, 0] != x[0, 0]).all(1)
    assert masked.tolist() == [True, True, False, False, False, True, False, False]


def test_mix_weighs_each_item_by_its_own_lam():
    a, b = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert mix(a, b, torch.tensor([0.25, 0.75]))[:, 0, 0, 0].tolist() == [0.25, 0.75]


def test_union_keeps_what_is_unknown_unless_surely_present():
    nan = torch.nan
    out = union(torch.tensor([0.0, 1.0, nan, nan, 0.3]), torch.tensor([0.0, nan, 0.0, 1.0, 0.5]))
    assert out[[0, 1, 3]].tolist() == [0, 1, 1]
    assert out[2].isnan()
    assert out[4] == 0.5


def padded():
    """Two items of noise, the second with padding on both sides and a zero within."""
    x = torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(0))
    x[1, :, :100], x[1, :, 300:], x[1, :, 200] = 0, 0, 0
    return x


def test_an_item_sounds_from_its_first_to_its_last_sample():
    inside = sounding(padded())
    assert inside.shape == (2, 1, 400)
    assert inside[0].all()
    assert inside[1, 0].nonzero().flatten().tolist() == list(range(100, 300))
    assert not sounding(torch.zeros(1, 1, 5)).any()


def test_gain_is_in_decibels():
    x = torch.ones(3, 1, 4)
    torch.testing.assert_close(change_gain(x, torch.tensor([0.0, 20.0, -6.0206]))[:, 0, 0], torch.tensor([1, 10, 0.5]))


def test_a_filter_changes_its_bands_alone():
    t = torch.arange(8000) / 8000
    tones = torch.stack([torch.sin(2 * torch.pi * f * t) for f in (500, 1500, 2500, 3500)]).sum(0)[None, None]
    db = torch.tensor([[0.0, -20.0, -6.0, -12.0]])
    out = filter_bands(tones, torch.tensor([[0.25, 0.5, 0.75]]), db)
    level = torch.fft.rfft(out[0, 0]).abs()[[500, 1500, 2500, 3500]] / 4000
    torch.testing.assert_close(20 * level.log10(), db[0], atol=1e-3, rtol=0)
    x = padded()
    assert (filter_bands(x, torch.tensor([[0.2, 0.4, 0.6]] * 2), db.repeat(2, 1))[1, :, :100] == 0).all()


def test_background_lies_so_far_below_and_not_in_padding():
    x, noise = padded(), torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(1))
    added = add_background(x, noise, torch.tensor([10.0, 10.0])) - x
    assert (added[1, :, :100] == 0).all() and (added[1, :, 300:] == 0).all()
    ratio = 20 * (x[0].square().mean() / added[0].square().mean()).sqrt().log10()
    assert ratio == pytest.approx(10, abs=1e-3)
    inside = slice(100, 300)
    quiet = 20 * (x[1, :, inside].square().mean() / added[1, :, inside].square().mean()).sqrt().log10()
    assert quiet == pytest.approx(10, abs=1.5)  # of this stretch of the noise
    assert torch.equal(add_background(x, noise, torch.full((2,), torch.inf)), x)


def test_waves_are_mixed_at_the_same_peak_and_not_into_padding():
    x = padded()
    loud = 50 * x.flip(0)
    out = mix_waves(x, loud, torch.tensor([0.5, 0.5]))
    same = loud * (x.abs().amax(2) / loud.abs().amax(2))[..., None]
    torch.testing.assert_close(out[0], (x[0] + same[0]) / 2)
    torch.testing.assert_close(out[1, :, 100:300], (x[1] + same[1])[:, 100:300] / 2)
    assert (out[1, :, :100] == 0).all() and (out[1, :, 300:] == 0).all()
    assert torch.equal(mix_waves(x, loud, torch.ones(2)), x)
